#include "agent/agent_hub.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "agent.grpc.pb.h"
#include "agent/agent_stream.h"
#include "agent/agent_token.h"
#include "agent/group_keeper.h"
#include "base/socket.h"
#include "base/str_cat.h"
#include "pipeserve/log.h"
#include "wire/agent_messages.h"
#include "wire/grpc_credentials.h"
#include "wire/grpc_limits.h"
#include "wire/grpc_listener.h"
#include "wire/grpc_status.h"

namespace pipeserve {
namespace {

// How long Stop() waits for agents to take their Exit before it cuts the connections.
constexpr auto kExitTime = std::chrono::seconds(2);
// Agents that ask more often for a sign of life are taken for a flood.
constexpr int kMinProbeIntervalMs = 500;
// Open at once, or four for each rank, which has one, if that is more.
constexpr int kMinConnections = 1000;

using HubBase = proto::AgentHub::WithRawCallbackMethod_Connect<
    proto::AgentHub::WithCallbackMethod_Register<proto::AgentHub::WithCallbackMethod_ReportFailure<
        proto::AgentHub::WithCallbackMethod_AcquireConfig<proto::AgentHub::Service>>>>;

// A stream that ends before it begins. Its own owner.
class Refusal final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit Refusal(const Status& reason) { Finish(ToGrpcStatus(reason)); }

 private:
  void OnDone() override { delete this; }
};

class HubService final : public HubBase {
 public:
  HubService(const AgentHubOptions& options, std::shared_ptr<GroupKeeper> keeper)
      : options_(options), keeper_(std::move(keeper)) {}

  grpc::ServerUnaryReactor* AcquireConfig(grpc::CallbackServerContext* context,
                                          const proto::AcquireConfigRequest* /*request*/,
                                          proto::AcquireConfigReply* reply) override {
    if (const Status status = Admit(*context); !status.ok()) return Answer(context, status);
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
    if (const Status status = Admit(*context); !status.ok()) return Answer(context, status);
    keeper_->ReportFailure(request->reason());
    return Answer(context, OkStatus());
  }

  grpc::ServerUnaryReactor* Register(grpc::CallbackServerContext* context,
                                     const proto::RegisterRequest* request,
                                     proto::RegisterReply* reply) override {
    if (const Status status = Admit(*context); !status.ok()) return Answer(context, status);
    return Answer(context, Register(*request, reply));
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Connect(
      grpc::CallbackServerContext* context) override {
    if (const Status status = Admit(*context); !status.ok()) return new Refusal(status);
    const auto stream = std::make_shared<AgentStream>(keeper_, context);
    stream->Start();
    return stream.get();  // Keeps itself until OnDone().
  }

 private:
  Status Admit(const grpc::CallbackServerContext& context) const {
    return CheckToken(options_.token, context);
  }

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
                   .device = {.kind = request.device().kind(),
                              .precision = request.device().precision(),
                              .deterministic = request.device().deterministic()},
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

  Status Listen(const AgentHubOptions& options) {
    PIPESERVE_RETURN_IF_ERROR(CheckTokenText(options.token));
    PIPESERVE_ASSIGN_OR_RETURN(const auto credentials, MakeServerCredentials(options.ssl));
    const std::string& address = options.address;
    const auto heartbeat = static_cast<int>(options.heartbeat.count());
    const auto dead_after = static_cast<int>(options.dead_after.count());
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    builder.SetMaxReceiveMessageSize(kMaxAgentMessageBytes);
    builder.SetMaxSendMessageSize(kMaxAgentMessageBytes);
    LimitConnections(&builder);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, heartbeat);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, dead_after - heartbeat);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                               kMinProbeIntervalMs);
    const int connections =
        std::max(kMinConnections, 4 * static_cast<int>(options.rank_table.ranks.size()));
    auto listener = GrpcListener::Bind(address, credentials, connections, &builder);
    if (listener.ok()) server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      return Unavailable(StrCat("agents cannot register at ", address,
                                ": the port cannot be bound: ", listener.status().message()));
    }
    listener_ = *std::move(listener);
    WarnIfOpen(options);
    listener_->Start();
    return OkStatus();
  }

  void Stop() {
    keeper_->Stop("the servable has stopped");
    if (listener_ != nullptr) listener_->Stop();
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + kExitTime);
  }

  void WarnIfOpen(const AgentHubOptions& options) const {
    const bool knows_agents =
        !options.token.empty() || (options.ssl.has_value() && options.ssl->verify_client);
    if (knows_agents || IsLoopbackAddress(address())) return;
    Log(LogLevel::kWarning, "whoever reaches the agents' address can register as an agent",
        {{"servable", options.servable_name},
         {"address", address()},
         {"wanted", "a token, or certificates of the agents"}});
  }

  GroupKeeper& keeper() { return *keeper_; }
  const std::string& address() const { return listener_->address(); }

 private:
  const std::shared_ptr<GroupKeeper> keeper_;
  HubService service_;
  std::unique_ptr<grpc::Server> server_;  // Its calls use what is above.
  std::unique_ptr<GrpcListener> listener_;
};

AgentHub::AgentHub(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AgentHub::~AgentHub() = default;

Result<std::unique_ptr<AgentHub>> AgentHub::Create(const AgentHubOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  PIPESERVE_RETURN_IF_ERROR(impl->Listen(options));
  return std::unique_ptr<AgentHub>(new AgentHub(std::move(impl)));
}

const std::string& AgentHub::address() const { return impl_->address(); }

Result<std::shared_ptr<Executor>> AgentHub::WaitReady(Deadline deadline) {
  return impl_->keeper().WaitReady(deadline);
}

uint64_t AgentHub::ready_epoch() const { return impl_->keeper().ready_epoch(); }

bool AgentHub::available() const { return impl_->keeper().available(); }

AgentGroupState AgentHub::state() const {
  AgentGroupState described = impl_->keeper().state();
  described.address = address();
  return described;
}

void AgentHub::Stop() { impl_->Stop(); }

}  // namespace pipeserve
