#include "agent/agent_connection.h"

#include <thread>
#include <utility>

#include "agent/agent_token.h"
#include "base/str_cat.h"
#include "pipeserve/log.h"
#include "wire/agent_messages.h"
#include "wire/grpc_status.h"

namespace pipeserve {
namespace {

// After these the ranks are no longer in step, so peers must not wait for this one.
bool LeavesPeersWaiting(StatusCode code) {
  return code != StatusCode::kOk && code != StatusCode::kInvalidArgument &&
         code != StatusCode::kUnimplemented;
}

}  // namespace

std::unique_ptr<AgentConnection::Stream> AgentConnection::Open(proto::AgentHub::Stub& stub) {
  AddToken(options_.credentials.token, &context_);
  return stub.Connect(&context_);
}

Status AgentConnection::Serve(const std::string& token, const std::function<void()>& on_accepted) {
  proto::AgentMessage hello;
  hello.mutable_hello()->set_rank(options_.rank);
  hello.mutable_hello()->set_token(token);
  stream_->Write(hello);
  std::jthread worker([this] { Work(); });
  Read(on_accepted);
  ended_ = true;
  LeavePeers(Unavailable("the connection to the server has ended"));
  queue_.Close();
  WakeWorker();
  const Timer::Entry watch = WatchUntil(Deadline::After(options_.stuck_limit),
                                        "what runs on the device has not ended with its epoch");
  worker.join();
  answers_.reset();  // Once it has answered what has begun.
  return FromGrpcStatus(stream_->Finish());
}

void AgentConnection::SayGoodbye(const std::string& reason) {
  LeavePeers(Unavailable(reason));
  Item goodbye{.message = std::nullopt, .goodbye = reason};
  if (!Push(&goodbye)) Cancel();
}

void AgentConnection::Read(const std::function<void()>& on_accepted) {
  bool accepted = false;
  proto::ServerMessage message;
  while (stream_->Read(&message)) {
    if (!std::exchange(accepted, true)) on_accepted();
    if (message.has_exit()) {
      told_to_exit_ = true;
      LeavePeers(Unavailable(message.exit().reason()));
      continue;
    }
    Item item{.message = std::move(message), .goodbye = ""};
    if (!Push(&item)) {
      Cancel();  // Flooded: the server learns it from the end of the stream.
      return;
    }
    message.Clear();
  }
}

bool AgentConnection::Push(Item* item) {
  const bool pushed = queue_.TryPush(*item);
  WakeWorker();
  return pushed;
}

void AgentConnection::WakeWorker() {
  std::shared_ptr<ShmCalls> calls;
  {
    MutexLock lock(mutex_);
    calls = shm_calls_;
  }
  if (calls != nullptr) calls->Wake();
}

void AgentConnection::Work() {
  while (!said_goodbye_) {
    if (calls_ != nullptr) {
      if (!WorkOnShared()) return;
    } else if (std::optional<Item> item = queue_.Pop()) {
      Handle(*item);
    } else {
      return;
    }
  }
}

bool AgentConnection::WorkOnShared() {
  const uint32_t seen = calls_->signal();
  if (!held_.has_value()) held_ = queue_.TryPop();
  if (held_.has_value() && IsDue(*held_)) {
    Handle(*std::exchange(held_, std::nullopt));
    return true;
  }
  if (ended_) return false;
  Result<std::optional<ShmCalls::Call>> call = calls_->Find(next_sequence());
  if (!call.ok()) {
    Log(LogLevel::kError, "the server posted what is no call",
        {{"rank", std::to_string(options_.rank)}, {"reason", call.status().message()}});
    Cancel();
    return false;
  }
  if (call->has_value()) {
    RunPosted(**std::move(call));
  } else {
    calls_->WaitWhile(seen);
  }
  return true;
}

bool AgentConnection::IsDue(const Item& item) const {
  return !item.message.has_value() || !item.message->has_run_call() ||
         item.message->run_call().sequence() <= next_sequence();
}

void AgentConnection::Handle(const Item& item) {
  if (ended_) return;
  if (!item.message.has_value()) return WriteGoodbye(item.goodbye);
  if (item.message->has_form_group()) Join(item.message->form_group());
  if (item.message->has_run_call()) RunCall(item.message->run_call());
}

void AgentConnection::WriteGoodbye(const std::string& reason) {
  if (answers_ != nullptr) answers_->Drain();  // Only one thread writes, and this comes last.
  proto::AgentMessage goodbye;
  goodbye.mutable_goodbye()->set_reason(reason);
  stream_->Write(goodbye);
  stream_->WritesDone();
  said_goodbye_ = true;
}

void AgentConnection::SayGoodbyeIfLost() {
  if (!options_.device_health || !device_health_.ok()) return;
  device_health_ = options_.device_health();
  if (!device_health_.ok()) SayGoodbye(device_health_.message());
}

Timer::Entry AgentConnection::WatchUntil(Deadline deadline, const char* what) {
  if (!options_.on_stuck) return {};
  return timer_.Add(deadline, [this, what] { options_.on_stuck(DeadlineExceeded(what)); });
}

void AgentConnection::Join(const proto::FormGroup& group) {
  const std::vector<std::string> peers(group.peer_addresses().begin(),
                                       group.peer_addresses().end());
  const WaitLimit limit(Deadline::After(options_.join_timeout), &epoch_over_);
  const Timer::Entry watch = WatchUntil(Deadline(limit.deadline.time() + options_.stuck_limit),
                                        "joining the other ranks has not ended at its limit");
  const GroupEpoch epoch(group.epoch(), group.secret());
  const Status shares_memory = group.shared_memory() ? AcceptMemory(epoch, limit) : OkStatus();
  const Status joined = options_.join_peers(
      epoch, peers, limit,
      [this](std::shared_ptr<Communicator> made) { SetCommunicator(std::move(made)); });
  proto::AgentMessage answer;
  if (joined.ok()) {
    epoch_ = group.epoch();
    answer.mutable_group_ready()->set_epoch(group.epoch());
    answer.mutable_group_ready()->set_shared_memory(calls_ != nullptr);
    answer.mutable_group_ready()->set_lane_error(shares_memory.message());
  } else {
    answer.mutable_group_failed()->set_epoch(group.epoch());
    answer.mutable_group_failed()->set_message(joined.message());
  }
  stream_->Write(answer);
  if (!joined.ok()) SayGoodbyeIfLost();
}

Status AgentConnection::AcceptMemory(const GroupEpoch& epoch, const WaitLimit& limit) {
  if (listener_ == nullptr) return FailedPrecondition("the agent takes no shared memory");
  PIPESERVE_ASSIGN_OR_RETURN(calls_, ShmCalls::Accept(*listener_, epoch, limit));
  MutexLock lock(mutex_);
  shm_calls_ = calls_;
  return OkStatus();
}

void AgentConnection::RunPosted(ShmCalls::Call posted) {
  Call call;
  call.posted = std::move(posted);
  call.wants_outputs = !call.posted.outputs.empty();
  Execute(std::move(call));
}

void AgentConnection::RunCall(const proto::RunCall& message) {
  Call call;
  call.over_stream = true;
  call.wants_outputs = message.wants_outputs();
  call.posted.sequence = message.sequence();
  call.posted.epoch = message.epoch();
  call.posted.graph = message.graph();
  Result<std::vector<Tensor>> inputs = TensorsFromProto(message.inputs());
  call.unreadable = inputs.status();
  if (inputs.ok()) call.posted.inputs = *std::move(inputs);
  Execute(std::move(call));
}

void AgentConnection::Execute(Call call) {
  next_sequence_ = call.posted.sequence + 1;
  if (answers_ != nullptr) return Begin(std::make_shared<const Call>(std::move(call)));
  std::vector<Tensor> outputs;
  Status status = CheckCall(call);
  if (status.ok()) {
    status =
        options_.executor->Run(call.posted.graph, call.posted.inputs, ContextOf(call), &outputs);
  }
  Answer(call, status, outputs);
}

void AgentConnection::Begin(std::shared_ptr<const Call> call) {
  Status status = CheckCall(*call);
  std::shared_ptr<CallPipeline::Call> begun;
  if (status.ok()) {
    auto result =
        options_.pipeline->Begin(call->posted.graph, call->posted.inputs, ContextOf(*call));
    status = result.status();
    if (result.ok()) begun = *std::move(result);
  }
  answers_->Add([this, call = std::move(call), begun = std::move(begun), status] {
    std::vector<Tensor> outputs;
    Answer(*call, begun == nullptr ? status : begun->Finish(&outputs), outputs);
  });
}

Status AgentConnection::CheckCall(const Call& call) const {
  if (call.posted.epoch == epoch_) return call.unreadable;
  return Aborted(StrCat("the call belongs to epoch ", call.posted.epoch, ", not to ", epoch_));
}

CallContext AgentConnection::ContextOf(const Call& call) {
  CallContext context;
  context.places = call.posted.outputs;
  context.outputs_wanted = call.wants_outputs;
  context.input_serials = call.posted.input_serials;
  context.output_serials = call.posted.output_serials;
  return context;
}

void AgentConnection::Answer(const Call& call, const Status& status,
                             const std::vector<Tensor>& outputs) {
  if (LeavesPeersWaiting(status.code())) LeavePeers(status);
  if (call.over_stream) {
    AnswerOverStream(call, status, outputs);
  } else {
    AnswerPosted(call.posted, status, outputs);
  }
}

void AgentConnection::AnswerPosted(const ShmCalls::Call& call, const Status& status,
                                   const std::vector<Tensor>& outputs) {
  calls_->Answer(call, status, outputs);
  if (!LeavesPeersWaiting(status.code())) return;
  proto::AgentMessage message;
  proto::CallFailed* failed = message.mutable_call_failed();
  failed->set_sequence(call.sequence);
  failed->set_epoch(call.epoch);
  failed->set_code(static_cast<int>(status.code()));
  failed->set_message(status.message());
  stream_->Write(message);
  SayGoodbyeIfLost();
}

void AgentConnection::AnswerOverStream(const Call& call, const Status& status,
                                       const std::vector<Tensor>& outputs) {
  proto::AgentMessage answer;
  proto::CallDone* done = answer.mutable_call_done();
  done->set_sequence(call.posted.sequence);
  done->set_epoch(call.posted.epoch);
  done->set_code(static_cast<int>(status.code()));
  done->set_message(status.message());
  if (status.ok() && call.wants_outputs) {
    for (const Tensor& output : outputs) TensorToProto(output, done->add_outputs());
  }
  stream_->Write(answer);
  if (LeavesPeersWaiting(status.code())) SayGoodbyeIfLost();
}

void AgentConnection::SetCommunicator(std::shared_ptr<Communicator> communicator) {
  {
    MutexLock lock(mutex_);
    communicator_ = communicator;
  }
  if (ended_) communicator->Abort(Unavailable("the connection to the server has ended"));
}

void AgentConnection::LeavePeers(const Status& reason) {
  epoch_over_.Raise();
  std::shared_ptr<Communicator> communicator;
  {
    MutexLock lock(mutex_);
    communicator = communicator_;
  }
  if (communicator != nullptr) communicator->Abort(reason);
}

}  // namespace pipeserve
