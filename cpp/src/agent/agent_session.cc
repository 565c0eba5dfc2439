#include "agent/agent_session.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "agent.grpc.pb.h"
#include "agent/agent_channel.h"
#include "agent/backoff.h"
#include "agent/shm_calls.h"
#include "base/bounded_queue.h"
#include "base/mutex.h"
#include "base/str_cat.h"
#include "base/unix_socket.h"
#include "pipeserve/log.h"
#include "wire/agent_messages.h"
#include "wire/grpc_status.h"

namespace pipeserve {
namespace {

// The server never has more calls in flight than requests that run at once.
constexpr size_t kQueuedMessages = 1024;
constexpr auto kRegisterTime = std::chrono::seconds(5);
// A server that does not end the stream after a goodbye is left without its consent.
constexpr auto kGoodbyeTime = std::chrono::seconds(2);

using Stream = grpc::ClientReaderWriter<proto::AgentMessage, proto::ServerMessage>;

bool MayPass(StatusCode code) {
  switch (code) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kAlreadyExists:
    case StatusCode::kFailedPrecondition:
    case StatusCode::kUnimplemented:
      return false;
    default:
      return true;
  }
}

// After these the ranks are no longer in step, so peers must not wait for this one.
bool LeavesPeersWaiting(StatusCode code) {
  return code != StatusCode::kOk && code != StatusCode::kInvalidArgument &&
         code != StatusCode::kUnimplemented;
}

// One stream: the thread that made it reads, a second one runs what came, in order, and is the
// only one that writes.
class Connection {
 public:
  // `listener` may be null.
  Connection(const AgentSessionOptions& options, const UnixListener* listener,
             proto::AgentHub::Stub& stub)
      : options_(options), listener_(listener), stream_(stub.Connect(&context_)) {}

  // Returns when the stream has ended, and with it the epoch. `on_accepted` runs at the server's
  // first message.
  Status Serve(const std::string& token, const std::function<void()>& on_accepted) {
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

  void SayGoodbye(const std::string& reason) {
    LeavePeers(Unavailable(reason));
    Item goodbye{.message = std::nullopt, .goodbye = reason};
    if (!Push(&goodbye)) Cancel();
  }

  void Cancel() { context_.TryCancel(); }

  bool told_to_exit() const { return told_to_exit_; }

 private:
  struct Item {
    std::optional<proto::ServerMessage> message;  // None: say goodbye.
    std::string goodbye;
  };

  void Read(const std::function<void()>& on_accepted) {
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

  bool Push(Item* item) {
    const bool pushed = queue_.TryPush(*item);
    WakeWorker();
    return pushed;
  }

  // The working thread may sleep at the doorbell of the shared memory.
  void WakeWorker() {
    std::shared_ptr<ShmCalls> calls;
    {
      MutexLock lock(mutex_);
      calls = shm_calls_;
    }
    if (calls != nullptr) calls->Wake();
  }

  void Work() {
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

  // One step: what the stream brought and whose turn it is, else the next posted call, else sleep.
  // False at the end.
  bool WorkOnShared() {
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

  uint64_t next_sequence() const {
    return next_sequence_ != 0 ? next_sequence_ : calls_->first_sequence();
  }

  // A call that came over the stream may have to wait for one that is posted.
  bool IsDue(const Item& item) const {
    return !item.message.has_value() || !item.message->has_run_call() ||
           item.message->run_call().sequence() <= next_sequence();
  }

  void Handle(const Item& item) {
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

  void Join(const proto::FormGroup& group) {
    const std::vector<std::string> peers(group.peer_addresses().begin(),
                                         group.peer_addresses().end());
    const WaitLimit limit(Deadline::After(options_.join_timeout), &epoch_over_);
    const Status shares_memory =
        group.shared_memory() ? AcceptMemory(group.epoch(), limit) : OkStatus();
    Result<std::shared_ptr<Communicator>> joined = options_.join_peers(group.epoch(), peers, limit);
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

  Status AcceptMemory(uint64_t epoch, const WaitLimit& limit) {
    if (listener_ == nullptr) return FailedPrecondition("the agent takes no shared memory");
    PIPESERVE_ASSIGN_OR_RETURN(calls_, ShmCalls::Accept(*listener_, epoch, limit));
    MutexLock lock(mutex_);
    shm_calls_ = calls_;
    return OkStatus();
  }

  void RunPosted(const ShmCalls::Call& call) {
    next_sequence_ = call.sequence + 1;
    std::vector<Tensor> outputs;
    Status status = CheckEpoch(call.epoch);
    if (status.ok()) {
      CallContext context;
      context.places = call.outputs;
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

  void RunCall(const proto::RunCall& call) {
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

  // Without a deadline: a rank that gave up by its own clock would leave its peers waiting. Only
  // the server ends a call early, by ending the epoch on all ranks.
  Status Execute(const proto::RunCall& call, std::vector<Tensor>* outputs) {
    PIPESERVE_RETURN_IF_ERROR(CheckEpoch(call.epoch()));
    PIPESERVE_ASSIGN_OR_RETURN(const std::vector<Tensor> inputs, TensorsFromProto(call.inputs()));
    return options_.executor->Run(call.graph(), inputs, CallContext(), outputs);
  }

  Status CheckEpoch(uint64_t epoch) const {
    if (epoch == epoch_) return OkStatus();
    return Aborted(StrCat("the call belongs to epoch ", epoch, ", not to ", epoch_));
  }

  // A communicator that comes after the end is aborted at once.
  void SetCommunicator(std::shared_ptr<Communicator> communicator) {
    {
      MutexLock lock(mutex_);
      communicator_ = communicator;
    }
    if (ended_) communicator->Abort(Unavailable("the connection to the server has ended"));
  }

  // Neither this rank nor its peers wait for each other any more.
  void LeavePeers(const Status& reason) {
    epoch_over_.Raise();
    std::shared_ptr<Communicator> communicator;
    {
      MutexLock lock(mutex_);
      communicator = communicator_;
    }
    if (communicator != nullptr) communicator->Abort(reason);
  }

  const AgentSessionOptions& options_;
  const UnixListener* const listener_;
  grpc::ClientContext context_;
  const std::unique_ptr<Stream> stream_;
  BoundedQueue<Item> queue_{kQueuedMessages};
  std::atomic<bool> ended_ = false;
  std::atomic<bool> told_to_exit_ = false;

  // Of the working thread.
  uint64_t epoch_ = 0;
  std::shared_ptr<ShmCalls> calls_;  // Null: all calls come over the stream.
  uint64_t next_sequence_ = 0;       // 0 before the first call.
  std::optional<Item> held_;         // From the stream, not due yet.
  bool said_goodbye_ = false;

  Interrupt epoch_over_;  // A stream lives for one epoch.
  Mutex mutex_;
  std::shared_ptr<Communicator> communicator_ GUARDED_BY(mutex_);
  std::shared_ptr<ShmCalls> shm_calls_ GUARDED_BY(mutex_);  // calls_, to wake its thread.
};

// Null when the agent takes no shared memory, or cannot listen for it.
std::unique_ptr<const UnixListener> OpenListener(const AgentSessionOptions& options) {
  if (!options.take_shared_memory) return nullptr;
  Result<UnixListener> listener = UnixListener::Open();
  if (listener.ok()) return std::make_unique<const UnixListener>(*std::move(listener));
  Log(LogLevel::kWarning, "no shared memory",
      {{"rank", std::to_string(options.rank)}, {"reason", listener.status().message()}});
  return nullptr;
}

}  // namespace

class AgentSession::Impl {
 public:
  explicit Impl(AgentSessionOptions options)
      : options_(std::move(options)),
        listener_(OpenListener(options_)),
        stub_(proto::AgentHub::NewStub(MakeAgentChannel(options_.server))) {
    std::random_device random;
    instance_ = (uint64_t{random()} << 32) | random();
  }

  Status Run() {
    const Status status = Loop();
    {
      MutexLock lock(mutex_);
      finished_ = true;
    }
    changed_.NotifyAll();
    return status;
  }

  void Stop(const std::string& reason) {
    std::shared_ptr<Connection> connection;
    {
      MutexLock lock(mutex_);
      stopped_ = true;
      connection = connection_;
    }
    changed_.NotifyAll();
    if (connection == nullptr) return;
    connection->SayGoodbye(reason);
    const Deadline deadline = Deadline::After(kGoodbyeTime);
    {
      MutexLock lock(mutex_);
      while (!finished_ && changed_.WaitUntil(mutex_, deadline)) {
      }
      if (finished_) return;
    }
    connection->Cancel();
  }

 private:
  Status Loop() {
    Backoff backoff;
    Deadline give_up = Deadline::After(options_.server_limit);
    while (true) {
      bool accepted = false, told_to_exit = false;
      const Status status = Attempt(&accepted, &told_to_exit);
      if (told_to_exit || stopped()) return OkStatus();
      if (!MayPass(status.code())) return status;
      Log(LogLevel::kInfo, "agent comes back",
          {{"rank", std::to_string(options_.rank)}, {"reason", status.message()}});
      if (accepted) {
        backoff.Reset();
        give_up = Deadline::After(options_.server_limit);
      }
      if (give_up.HasPassed()) {
        return status.WithContext(
            StrCat("rank ", options_.rank, " gives up, no server at ", options_.server));
      }
      Pause(Deadline::After(backoff.Next()));
    }
  }

  // Registers and serves one connection.
  Status Attempt(bool* accepted, bool* told_to_exit) {
    PIPESERVE_ASSIGN_OR_RETURN(const std::string token, Register());
    const auto connection = std::make_shared<Connection>(options_, listener_.get(), *stub_);
    if (!SetConnection(connection)) connection->Cancel();
    const Status status = connection->Serve(token, [&] {
      *accepted = true;
      if (options_.on_connected && !std::exchange(announced_, true)) options_.on_connected();
    });
    *told_to_exit = connection->told_to_exit();
    SetConnection(nullptr);
    return status.ok() ? Unavailable("the server ended the connection") : status;
  }

  Result<std::string> Register() {
    proto::RegisterRequest request;
    request.set_rank(options_.rank);
    request.set_peer_address(options_.peer_address);
    request.set_instance(instance_);
    if (listener_ != nullptr) request.set_lane_address(listener_->name());
    for (GraphId graph = 0; graph < options_.executor->graph_count(); ++graph) {
      SignatureToProto(options_.executor->signature(graph), request.add_graphs());
    }
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kRegisterTime);
    proto::RegisterReply reply;
    PIPESERVE_RETURN_IF_ERROR(FromGrpcStatus(stub_->Register(&context, request, &reply)));
    return reply.token();
  }

  // False when the session has been stopped meanwhile.
  bool SetConnection(std::shared_ptr<Connection> connection) {
    MutexLock lock(mutex_);
    connection_ = std::move(connection);
    return !stopped_;
  }

  bool stopped() {
    MutexLock lock(mutex_);
    return stopped_;
  }

  void Pause(Deadline deadline) {
    MutexLock lock(mutex_);
    while (!stopped_ && changed_.WaitUntil(mutex_, deadline)) {
    }
  }

  const AgentSessionOptions options_;
  const std::unique_ptr<const UnixListener> listener_;
  const std::unique_ptr<proto::AgentHub::Stub> stub_;
  uint64_t instance_ = 0;
  bool announced_ = false;
  Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<Connection> connection_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;
};

AgentSession::AgentSession(AgentSessionOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
AgentSession::~AgentSession() = default;

Status AgentSession::Run() { return impl_->Run(); }

void AgentSession::Stop(const std::string& reason) { impl_->Stop(reason); }

}  // namespace pipeserve
