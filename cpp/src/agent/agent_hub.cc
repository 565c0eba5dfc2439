#include "agent/agent_hub.h"

#include <grpcpp/grpcpp.h>

#include <deque>
#include <iterator>
#include <utility>

#include "agent.grpc.pb.h"
#include "agent/group_keeper.h"
#include "agent/reply_box.h"
#include "base/str_cat.h"
#include "pipeserve/log.h"
#include "wire/agent_messages.h"
#include "wire/grpc_status.h"

namespace pipeserve {
namespace {

// How long Stop() waits for agents to take their Exit before it cuts the connections.
constexpr auto kExitTime = std::chrono::seconds(2);
// An idle connection is probed this often, and given up when the probe stays unanswered as long.
constexpr int kKeepaliveMs = 10'000;
constexpr int kMinProbeIntervalMs = 5'000;

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

// The server's end of one Connect stream. Owns itself until the stream is done. Its messages are
// bytes, so that the inputs of a call are encoded once for all ranks.
class AgentStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                          public AgentLink,
                          public std::enable_shared_from_this<AgentStream> {
 public:
  AgentStream(std::shared_ptr<GroupKeeper> keeper, grpc::CallbackServerContext* context)
      : keeper_(std::move(keeper)), context_(context) {}

  void Start() {
    self_ = shared_from_this();
    StartRead(&incoming_);
  }

  void Send(const RankCall& call) override {
    replies_.Sent(call.sequence);
    Queue(Encode(call));
  }
  uint64_t answered() const override { return replies_.answered(); }
  Status Await(uint64_t sequence, const CallContext& context) override {
    return replies_.Await(sequence, context);
  }
  void Wake() override { replies_.Wake(); }
  RankReply Take(uint64_t sequence) override { return replies_.Take(sequence); }
  void Drop(uint64_t sequence) override { replies_.Drop(sequence); }

  void FormGroup(uint64_t epoch, const std::vector<std::string>& peer_addresses,
                 bool shared_memory) override {
    proto::ServerMessage message;
    message.mutable_form_group()->set_epoch(epoch);
    message.mutable_form_group()->set_shared_memory(shared_memory);
    for (const std::string& peer : peer_addresses) {
      message.mutable_form_group()->add_peer_addresses(peer);
    }
    Queue(Encode(message));
  }

  void Exit(const std::string& reason) override {
    proto::ServerMessage message;
    message.mutable_exit()->set_reason(reason);
    Queue(Encode(message));
    End(Unavailable(reason), Ending::kAfterQueued);
  }

  // Not what has been told to exit, which takes the time that the hub gives it.
  void Close(const Status& reason) override {
    {
      MutexLock lock(mutex_);
      if (ending_ == Ending::kAfterQueued) return;
    }
    End(reason, Ending::kNow);
  }

  void OnReadDone(bool ok) override {
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

  void OnWriteDone(bool ok) override {
    if (!ok) End(Unavailable("the connection to the agent broke"), Ending::kNow);
    Advance(/*was_writing=*/true);
  }

  void OnCancel() override { End(Unavailable("the agent cancelled its connection"), Ending::kNow); }

  void OnDone() override {
    Status reason;
    {
      MutexLock lock(mutex_);
      reason = reason_;
    }
    if (connected_) keeper_->Disconnected(rank_, reason);
    self_.reset();
  }

 private:
  enum class Ending { kNone, kAfterQueued, kNow };

  void Queue(grpc::ByteBuffer message) {
    {
      MutexLock lock(mutex_);
      if (ending_ != Ending::kNone) return;
      queue_.push_back(std::move(message));
    }
    Advance(/*was_writing=*/false);
  }

  void End(const Status& reason, Ending ending) {
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

  // Starts what comes next, when nothing is on its way: a message, or the end.
  void Advance(bool was_writing) {
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

  // False when no further message is wanted.
  bool Handle(const proto::AgentMessage& message) {
    if (!connected_) return HandleHello(message);
    switch (message.kind_case()) {
      case proto::AgentMessage::kGroupReady:
        keeper_->GroupReady(rank_, message.group_ready().epoch(),
                            LaneAnswer(message.group_ready()));
        return true;
      case proto::AgentMessage::kGroupFailed:
        keeper_->GroupFailed(rank_, message.group_failed().epoch(),
                             message.group_failed().message());
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

  bool HandleCallDone(const proto::CallDone& done) {
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

  bool HandleHello(const proto::AgentMessage& message) {
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

  const std::shared_ptr<GroupKeeper> keeper_;
  grpc::CallbackServerContext* const context_;
  std::shared_ptr<AgentStream> self_;

  // Of the read callbacks, one at a time; OnDone comes after the last.
  grpc::ByteBuffer incoming_;
  int rank_ = -1;
  bool connected_ = false;

  ReplyBox replies_;
  Mutex mutex_;
  std::deque<grpc::ByteBuffer> queue_ GUARDED_BY(mutex_);
  grpc::ByteBuffer outgoing_;  // Of the write that is on its way.
  bool writing_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;
  Ending ending_ GUARDED_BY(mutex_) = Ending::kNone;
  Status reason_ GUARDED_BY(mutex_);
};

using HubBase = proto::AgentHub::WithRawCallbackMethod_Connect<
    proto::AgentHub::WithCallbackMethod_Register<proto::AgentHub::WithCallbackMethod_ReportFailure<
        proto::AgentHub::WithCallbackMethod_AcquireConfig<proto::AgentHub::Service>>>>;

class HubService final : public HubBase {
 public:
  HubService(const AgentHubOptions& options, std::shared_ptr<GroupKeeper> keeper)
      : options_(options), keeper_(std::move(keeper)) {}

  grpc::ServerUnaryReactor* AcquireConfig(grpc::CallbackServerContext* context,
                                          const proto::AcquireConfigRequest* /*request*/,
                                          proto::AcquireConfigReply* reply) override {
    reply->set_servable_name(options_.servable_name);
    reply->set_rank_size(static_cast<int>(options_.rank_table.ranks.size()));
    reply->set_stage_size(options_.stage_size);
    reply->set_rank_table_json(options_.rank_table.content);
    for (const RankPlace& place : options_.rank_table.ranks) {
      proto::RankPlace* message = reply->add_ranks();
      message->set_ip(place.ip);
      message->set_device_id(place.device_id);
    }
    return Answer(context, OkStatus());
  }

  grpc::ServerUnaryReactor* ReportFailure(grpc::CallbackServerContext* context,
                                          const proto::ReportFailureRequest* request,
                                          proto::ReportFailureReply* /*reply*/) override {
    keeper_->ReportFailure(request->reason());
    return Answer(context, OkStatus());
  }

  grpc::ServerUnaryReactor* Register(grpc::CallbackServerContext* context,
                                     const proto::RegisterRequest* request,
                                     proto::RegisterReply* reply) override {
    return Answer(context, Register(*request, reply));
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Connect(
      grpc::CallbackServerContext* context) override {
    const auto stream = std::make_shared<AgentStream>(keeper_, context);
    stream->Start();
    return stream.get();  // Keeps itself until OnDone().
  }

 private:
  static grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                          const Status& status) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpcStatus(status));
    return reactor;
  }

  Status Register(const proto::RegisterRequest& request, proto::RegisterReply* reply) {
    AgentSpec spec{.rank = request.rank(),
                   .instance = request.instance(),
                   .peer_address = request.peer_address(),
                   .lane_address = request.lane_address(),
                   .graphs = {}};
    for (const proto::GraphSignature& graph : request.graphs()) {
      Result<GraphSignature> signature = SignatureFromProto(graph);
      if (!signature.ok()) {
        return signature.status().WithContext(
            StrCat("rank ", request.rank(), ": graph ", spec.graphs.size()));
      }
      spec.graphs.push_back(*std::move(signature));
    }
    PIPESERVE_ASSIGN_OR_RETURN(*reply->mutable_token(), keeper_->Register(std::move(spec)));
    return OkStatus();
  }

  const AgentHubOptions options_;
  const std::shared_ptr<GroupKeeper> keeper_;
};

}  // namespace

class AgentHub::Impl {
 public:
  explicit Impl(const AgentHubOptions& options)
      : keeper_(std::make_shared<GroupKeeper>(options)), service_(options, keeper_) {}
  ~Impl() { Stop(); }

  Status Listen(const std::string& address) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    builder.SetMaxReceiveMessageSize(kMaxAgentMessageBytes);
    builder.SetMaxSendMessageSize(kMaxAgentMessageBytes);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMs);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                               kMinProbeIntervalMs);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) {
      return Unavailable(
          StrCat("agents cannot register at ", address, ": the port cannot be bound"));
    }
    const size_t colon = address.rfind(':');
    address_ = colon == std::string::npos ? address : StrCat(address.substr(0, colon), ":", port);
    return OkStatus();
  }

  void Stop() {
    keeper_->Stop("the servable has stopped");
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + kExitTime);
  }

  GroupKeeper& keeper() { return *keeper_; }
  const std::string& address() const { return address_; }

 private:
  const std::shared_ptr<GroupKeeper> keeper_;
  HubService service_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;  // Last: its calls use what is above.
};

AgentHub::AgentHub(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AgentHub::~AgentHub() = default;

Result<std::unique_ptr<AgentHub>> AgentHub::Create(const AgentHubOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  PIPESERVE_RETURN_IF_ERROR(impl->Listen(options.address));
  return std::unique_ptr<AgentHub>(new AgentHub(std::move(impl)));
}

const std::string& AgentHub::address() const { return impl_->address(); }

Result<std::shared_ptr<Executor>> AgentHub::WaitReady(Deadline deadline) {
  return impl_->keeper().WaitReady(deadline);
}

bool AgentHub::ready() const { return impl_->keeper().ready(); }

void AgentHub::Stop() { impl_->Stop(); }

}  // namespace pipeserve
