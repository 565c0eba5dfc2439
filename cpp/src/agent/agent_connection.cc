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
  worker.join();
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
    RunPosted(**call);
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
  if (!item.message.has_value()) {
    proto::AgentMessage goodbye;
    goodbye.mutable_goodbye()->set_reason(item.goodbye);
    stream_->Write(goodbye);
    stream_->WritesDone();
    said_goodbye_ = true;
    return;
  }
  if (item.message->has_form_group()) Join(item.message->form_group());
  if (item.message->has_run_call()) RunCall(item.message->run_call());
}

void AgentConnection::Join(const proto::FormGroup& group) {
  const std::vector<std::string> peers(group.peer_addresses().begin(),
                                       group.peer_addresses().end());
  const WaitLimit limit(Deadline::After(options_.join_timeout), &epoch_over_);
  const GroupEpoch epoch(group.epoch(), group.secret());
  const Status shares_memory = group.shared_memory() ? AcceptMemory(epoch, limit) : OkStatus();
  Result<std::shared_ptr<Communicator>> joined = options_.join_peers(epoch, peers, limit);
  proto::AgentMessage answer;
  if (joined.ok()) {
    SetCommunicator(*joined);
    epoch_ = group.epoch();
    answer.mutable_group_ready()->set_epoch(group.epoch());
    answer.mutable_group_ready()->set_shared_memory(calls_ != nullptr);
    answer.mutable_group_ready()->set_lane_error(shares_memory.message());
  } else {
    answer.mutable_group_failed()->set_epoch(group.epoch());
    answer.mutable_group_failed()->set_message(joined.status().message());
  }
  stream_->Write(answer);
}

Status AgentConnection::AcceptMemory(const GroupEpoch& epoch, const WaitLimit& limit) {
  if (listener_ == nullptr) return FailedPrecondition("the agent takes no shared memory");
  PIPESERVE_ASSIGN_OR_RETURN(calls_, ShmCalls::Accept(*listener_, epoch, limit));
  MutexLock lock(mutex_);
  shm_calls_ = calls_;
  return OkStatus();
}

void AgentConnection::RunPosted(const ShmCalls::Call& call) {
  next_sequence_ = call.sequence + 1;
  std::vector<Tensor> outputs;
  Status status = CheckEpoch(call.epoch);
  if (status.ok()) {
    CallContext context;
    context.places = call.outputs;
    context.outputs_wanted = !call.outputs.empty();
    status = options_.executor->Run(call.graph, call.inputs, context, &outputs);
  }
  if (LeavesPeersWaiting(status.code())) LeavePeers(status);
  calls_->Answer(call, status, outputs);
  if (!LeavesPeersWaiting(status.code())) return;
  proto::AgentMessage message;
  proto::CallFailed* failed = message.mutable_call_failed();
  failed->set_sequence(call.sequence);
  failed->set_epoch(call.epoch);
  failed->set_code(static_cast<int>(status.code()));
  failed->set_message(status.message());
  stream_->Write(message);
}

void AgentConnection::RunCall(const proto::RunCall& call) {
  next_sequence_ = call.sequence() + 1;
  std::vector<Tensor> outputs;
  const Status status = Execute(call, &outputs);
  if (LeavesPeersWaiting(status.code())) LeavePeers(status);
  proto::AgentMessage answer;
  proto::CallDone* done = answer.mutable_call_done();
  done->set_sequence(call.sequence());
  done->set_epoch(call.epoch());
  done->set_code(static_cast<int>(status.code()));
  done->set_message(status.message());
  if (status.ok() && call.wants_outputs()) {
    for (const Tensor& output : outputs) TensorToProto(output, done->add_outputs());
  }
  stream_->Write(answer);
}

Status AgentConnection::Execute(const proto::RunCall& call, std::vector<Tensor>* outputs) {
  PIPESERVE_RETURN_IF_ERROR(CheckEpoch(call.epoch()));
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs, TensorsFromProto(call.inputs()));
  CallContext context;
  context.outputs_wanted = call.wants_outputs();
  return options_.executor->Run(call.graph(), inputs, context, outputs);
}

Status AgentConnection::CheckEpoch(uint64_t epoch) const {
  if (epoch == epoch_) return OkStatus();
  return Aborted(StrCat("the call belongs to epoch ", epoch, ", not to ", epoch_));
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
