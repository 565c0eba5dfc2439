#include "agent/agent_stream.h"

#include <iterator>
#include <utility>

#include "base/str_cat.h"
#include "wire/agent_messages.h"
#include "wire/grpc_status.h"

namespace pipeserve {
namespace {

grpc::ByteBuffer Encode(const proto::ServerMessage& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

// Refers to the string, which lives as long as the slice.
grpc::Slice SliceOf(std::shared_ptr<const std::string> bytes) {
  auto* owner = new std::shared_ptr<const std::string>(std::move(bytes));
  const auto drop = [](void* o) { delete static_cast<std::shared_ptr<const std::string>*>(o); };
  return grpc::Slice(const_cast<char*>((*owner)->data()), (*owner)->size(), drop, owner);
}

// Two messages in one: the parser on the other side merges them.
grpc::ByteBuffer Encode(const RankCall& call) {
  proto::ServerMessage message;
  proto::RunCall* run = message.mutable_run_call();
  run->set_sequence(call.sequence);
  run->set_epoch(call.epoch);
  run->set_graph(call.graph);
  run->set_wants_outputs(call.wants_outputs);
  if (call.inputs == nullptr) return Encode(message);
  const grpc::Slice slices[] = {grpc::Slice(message.SerializeAsString()),
                                SliceOf(call.inputs->Encoded())};
  return grpc::ByteBuffer(slices, std::size(slices));
}

// An answer whose outputs cannot be read is an error of the rank.
RankReply FromProto(const proto::CallDone& done) {
  RankReply reply{.sequence = done.sequence(), .status = {}, .outputs = {}};
  if (done.code() != 0) {
    reply.status = Status(static_cast<StatusCode>(done.code()), done.message());
    return reply;
  }
  Result<std::vector<Tensor>> outputs = TensorsFromProto(done.outputs());
  if (!outputs.ok()) {
    reply.status = Internal(outputs.status().message());
  } else {
    reply.outputs = *std::move(outputs);
  }
  return reply;
}

// Whether the agent takes its calls from shared memory.
Status LaneAnswer(const proto::GroupReady& ready) {
  if (ready.shared_memory()) return OkStatus();
  return Unavailable(ready.lane_error().empty() ? "no memory was offered" : ready.lane_error());
}

}  // namespace

void AgentStream::Start() {
  self_ = shared_from_this();
  StartRead(&incoming_);
}

void AgentStream::Send(const RankCall& call) {
  replies_.Sent(call.sequence);
  Queue(Encode(call));
}

void AgentStream::FormGroup(const GroupEpoch& epoch, const std::vector<std::string>& peer_addresses,
                            bool shared_memory) {
  proto::ServerMessage message;
  message.mutable_form_group()->set_epoch(epoch.number);
  message.mutable_form_group()->set_secret(epoch.secret);
  message.mutable_form_group()->set_shared_memory(shared_memory);
  for (const std::string& peer : peer_addresses) {
    message.mutable_form_group()->add_peer_addresses(peer);
  }
  Queue(Encode(message));
}

void AgentStream::Exit(const std::string& reason) {
  proto::ServerMessage message;
  message.mutable_exit()->set_reason(reason);
  Queue(Encode(message));
  End(Unavailable(reason), Ending::kAfterQueued);
}

void AgentStream::Close(const Status& reason) {
  {
    MutexLock lock(mutex_);
    if (ending_ == Ending::kAfterQueued) return;
  }
  End(reason, Ending::kNow);
}

void AgentStream::OnReadDone(bool ok) {
  if (!ok) {
    End(Unavailable("the connection to the agent broke"), Ending::kNow);
    return;
  }
  proto::AgentMessage message;
  const grpc::Status parsed =
      grpc::SerializationTraits<proto::AgentMessage>::Deserialize(&incoming_, &message);
  if (!parsed.ok()) {
    Close(InvalidArgument("an agent sent a message that cannot be read"));
  } else if (Handle(message)) {
    StartRead(&incoming_);
  }
}

void AgentStream::OnWriteDone(bool ok) {
  if (!ok) End(Unavailable("the connection to the agent broke"), Ending::kNow);
  Advance(/*was_writing=*/true);
}

void AgentStream::OnCancel() {
  End(Unavailable("the agent cancelled its connection"), Ending::kNow);
}

void AgentStream::OnDone() {
  Status reason;
  {
    MutexLock lock(mutex_);
    reason = reason_;
  }
  if (connected_) keeper_->Disconnected(rank_, reason);
  self_.reset();
}

void AgentStream::Queue(grpc::ByteBuffer message) {
  {
    MutexLock lock(mutex_);
    if (ending_ != Ending::kNone) return;
    queue_.push_back(std::move(message));
  }
  Advance(/*was_writing=*/false);
}

void AgentStream::End(const Status& reason, Ending ending) {
  bool cancel = false;
  {
    MutexLock lock(mutex_);
    if (ending_ == Ending::kNone) reason_ = reason;
    if (ending_ >= ending) return;
    ending_ = ending;
    // An agent that does not read would hold the message that is on its way for ever.
    cancel = ending == Ending::kNow && writing_;
    if (ending == Ending::kNow) queue_.clear();
  }
  replies_.Close(reason);
  if (cancel) context_->TryCancel();
  Advance(/*was_writing=*/false);
}

void AgentStream::Advance(bool was_writing) {
  bool finish = false;
  Status reason;
  {
    MutexLock lock(mutex_);
    if (was_writing) writing_ = false;
    if (writing_ || finished_) return;
    if (!queue_.empty()) {
      outgoing_ = std::move(queue_.front());
      queue_.pop_front();
      writing_ = true;
    } else if (ending_ != Ending::kNone) {
      finished_ = finish = true;
      reason = reason_;
    } else {
      return;
    }
  }
  if (finish) {
    Finish(ToGrpcStatus(reason));
  } else {
    StartWrite(&outgoing_);
  }
}

bool AgentStream::Handle(const proto::AgentMessage& message) {
  if (!connected_) return HandleHello(message);
  switch (message.kind_case()) {
    case proto::AgentMessage::kGroupReady:
      keeper_->GroupReady(rank_, message.group_ready().epoch(), LaneAnswer(message.group_ready()));
      return true;
    case proto::AgentMessage::kGroupFailed:
      keeper_->GroupFailed(rank_, message.group_failed().epoch(), message.group_failed().message());
      return true;
    case proto::AgentMessage::kCallDone:
      return HandleCallDone(message.call_done());
    case proto::AgentMessage::kCallFailed:
      keeper_->CallFailed(rank_, message.call_failed().epoch(), message.call_failed().sequence(),
                          Status(static_cast<StatusCode>(message.call_failed().code()),
                                 message.call_failed().message()));
      return true;
    case proto::AgentMessage::kGoodbye:
      Close(Unavailable(StrCat("the agent said goodbye: ", message.goodbye().reason())));
      return false;
    case proto::AgentMessage::kHello:
    case proto::AgentMessage::KIND_NOT_SET:
      break;
  }
  Close(InvalidArgument(StrCat("rank ", rank_, " sent a message that does not belong here")));
  return false;
}

bool AgentStream::HandleCallDone(const proto::CallDone& done) {
  RankReply reply = FromProto(done);
  const Status status = reply.status;
  if (!replies_.Put(std::move(reply))) {
    Close(InvalidArgument(StrCat("rank ", rank_, " answered call ", done.sequence(),
                                 ", which is not the one that it has to answer")));
    return false;
  }
  if (!status.ok()) keeper_->CallFailed(rank_, done.epoch(), done.sequence(), status);
  return true;
}

bool AgentStream::HandleHello(const proto::AgentMessage& message) {
  if (!message.has_hello()) {
    Close(InvalidArgument("the first message of an agent has to be Hello"));
    return false;
  }
  rank_ = message.hello().rank();
  const Status status = keeper_->Connect(rank_, message.hello().token(), shared_from_this());
  connected_ = status.ok();
  if (!connected_) {
    Close(status);
    return false;
  }
  proto::ServerMessage welcome;
  welcome.mutable_welcome();
  Queue(Encode(welcome));
  return true;
}

}  // namespace pipeserve
