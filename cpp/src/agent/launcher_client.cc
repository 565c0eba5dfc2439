#include <grpcpp/grpcpp.h>

#include "agent.grpc.pb.h"
#include "agent/agent_channel.h"
#include "agent/agent_token.h"
#include "base/str_cat.h"
#include "pipeserve/agent.h"
#include "wire/grpc_status.h"

namespace pipeserve {
namespace {

// Said once, so a machine that is busy gets more time for it.
constexpr auto kReportTime = std::chrono::seconds(5);

template <typename Time>
void SetDeadline(grpc::ClientContext& context, Time time) {
  context.set_deadline(std::chrono::system_clock::now() + time);
}

AgentGroupConfig FromProto(const proto::AcquireConfigReply& reply) {
  AgentGroupConfig config{.servable_name = reply.servable_name(),
                          .rank_size = reply.rank_size(),
                          .stage_size = reply.stage_size(),
                          .rank_table_json = reply.rank_table_json(),
                          .ranks = {}};
  for (const proto::RankPlace& place : reply.ranks()) {
    config.ranks.push_back({.ip = place.ip(), .device_id = place.device_id()});
  }
  return config;
}

}  // namespace

Result<AgentGroupConfig> AcquireAgentConfig(const std::string& address,
                                            std::chrono::milliseconds timeout,
                                            const AgentCredentials& credentials) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto channel, MakeAgentChannel(address, credentials));
  const auto stub = proto::AgentHub::NewStub(channel);
  grpc::ClientContext context;
  AddToken(credentials.token, &context);
  context.set_wait_for_ready(true);  // The server may come up later than its agents.
  SetDeadline(context, timeout);
  proto::AcquireConfigReply reply;
  const Status status =
      FromGrpcStatus(stub->AcquireConfig(&context, proto::AcquireConfigRequest(), &reply));
  if (status.ok()) return FromProto(reply);
  if (status.code() == StatusCode::kUnauthenticated) {
    return status.WithContext(StrCat("the server at ", address, " refuses this launcher"));
  }
  return status.WithContext(StrCat(
      "Failed to get Agents configs from Worker, worker is not available, address: ", address));
}

Status ReportAgentsFailed(const std::string& address, const std::string& reason,
                          const AgentCredentials& credentials) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto channel, MakeAgentChannel(address, credentials));
  const auto stub = proto::AgentHub::NewStub(channel);
  grpc::ClientContext context;
  AddToken(credentials.token, &context);
  SetDeadline(context, kReportTime);
  proto::ReportFailureRequest request;
  request.set_reason(reason);
  proto::ReportFailureReply reply;
  return FromGrpcStatus(stub->ReportFailure(&context, request, &reply))
      .WithContext(StrCat("cannot tell ", address, " that agents failed"));
}

}  // namespace pipeserve
