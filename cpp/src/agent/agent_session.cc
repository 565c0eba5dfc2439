#include "agent/agent_session.h"

#include <grpcpp/grpcpp.h>

#include <optional>
#include <random>
#include <utility>

#include "agent.grpc.pb.h"
#include "agent/agent_channel.h"
#include "agent/agent_connection.h"
#include "agent/agent_token.h"
#include "agent/backoff.h"
#include "base/mutex.h"
#include "base/str_cat.h"
#include "base/timer.h"
#include "base/unix_socket.h"
#include "pipeserve/log.h"
#include "wire/agent_messages.h"
#include "wire/grpc_status.h"

namespace pipeserve {
namespace {

constexpr auto kRegisterTime = std::chrono::seconds(5);
// A server that does not end the stream after a goodbye is left without its consent.
constexpr auto kGoodbyeTime = std::chrono::seconds(2);

bool MayPass(StatusCode code) {
  switch (code) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kAlreadyExists:
    case StatusCode::kFailedPrecondition:
    case StatusCode::kUnimplemented:
    case StatusCode::kUnauthenticated:
      return false;
    default:
      return true;
  }
}

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
      : options_(std::move(options)), listener_(OpenListener(options_)) {
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
    std::shared_ptr<AgentConnection> connection;
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
    PIPESERVE_ASSIGN_OR_RETURN(const auto channel,
                               MakeAgentChannel(options_.server, options_.credentials));
    stub_ = proto::AgentHub::NewStub(channel);
    Backoff backoff;
    Deadline give_up = Deadline::After(options_.server_limit);
    while (true) {
      bool accepted = false;
      std::optional<Status> end;
      const Status status = Attempt(&accepted, &end);
      if (stopped()) return OkStatus();
      if (end.has_value()) return *end;
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

  // Registers and serves one connection. Sets `*end` when it was the last one.
  Status Attempt(bool* accepted, std::optional<Status>* end) {
    PIPESERVE_ASSIGN_OR_RETURN(const std::string token, Register());
    const auto connection =
        std::make_shared<AgentConnection>(options_, listener_.get(), *stub_, timer_);
    if (!SetConnection(connection)) connection->Cancel();
    const Status status = connection->Serve(token, [&] {
      *accepted = true;
      if (options_.on_connected && !std::exchange(announced_, true)) options_.on_connected();
    });
    if (connection->told_to_exit()) {
      *end = OkStatus();
    } else if (!connection->device_health().ok()) {
      *end = connection->device_health();
    }
    SetConnection(nullptr);
    return status.ok() ? Unavailable("the server ended the connection") : status;
  }

  Result<std::string> Register() {
    proto::RegisterRequest request;
    request.set_rank(options_.rank);
    request.set_peer_address(options_.peer_address);
    request.set_instance(instance_);
    if (listener_ != nullptr) request.set_lane_address(listener_->name());
    request.mutable_device()->set_kind(options_.device.kind);
    request.mutable_device()->set_precision(options_.device.precision);
    request.mutable_device()->set_deterministic(options_.device.deterministic);
    for (GraphId graph = 0; graph < options_.executor->graph_count(); ++graph) {
      SignatureToProto(options_.executor->signature(graph), request.add_graphs());
    }
    grpc::ClientContext context;
    AddToken(options_.credentials.token, &context);
    context.set_deadline(std::chrono::system_clock::now() + kRegisterTime);
    proto::RegisterReply reply;
    PIPESERVE_RETURN_IF_ERROR(FromGrpcStatus(stub_->Register(&context, request, &reply)));
    return reply.token();
  }

  // False when the session has been stopped meanwhile.
  bool SetConnection(std::shared_ptr<AgentConnection> connection) {
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
  std::unique_ptr<proto::AgentHub::Stub> stub_;  // Of the thread of Run().
  Timer timer_;
  uint64_t instance_ = 0;
  bool announced_ = false;
  Mutex mutex_;
  CondVar changed_;
  std::shared_ptr<AgentConnection> connection_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;
};

AgentSession::AgentSession(AgentSessionOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
AgentSession::~AgentSession() = default;

Status AgentSession::Run() { return impl_->Run(); }

void AgentSession::Stop(const std::string& reason) { impl_->Stop(reason); }

}  // namespace pipeserve
