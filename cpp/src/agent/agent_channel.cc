#include "agent/agent_channel.h"

#include <grpcpp/grpcpp.h>

#include "agent/agent_token.h"
#include "wire/agent_messages.h"
#include "wire/grpc_credentials.h"

namespace pipeserve {
namespace {

constexpr int kFirstReconnectMs = 100;
constexpr int kLastReconnectMs = 1'000;
// A connection that was cut and works again is found out within one interval; a server that does
// not answer is left after the timeout.
constexpr int kKeepaliveMs = 1'000;
constexpr int kKeepaliveTimeoutMs = 10'000;

}  // namespace

Result<std::shared_ptr<grpc::Channel>> MakeAgentChannel(const std::string& address,
                                                        const AgentCredentials& credentials) {
  PIPESERVE_RETURN_IF_ERROR(CheckTokenText(credentials.token));
  PIPESERVE_ASSIGN_OR_RETURN(const auto channel_credentials,
                             MakeChannelCredentials(credentials.ssl));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAgentMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxAgentMessageBytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kLastReconnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLastReconnectMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Agents speak to their server directly, whatever proxy the environment names.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, channel_credentials, arguments);
}

}  // namespace pipeserve
