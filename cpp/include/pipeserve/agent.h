// What a launcher of agents asks a server before it starts them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "pipeserve/ssl_options.h"
#include "pipeserve/status.h"

namespace [[gnu::visibility("default")]] pipeserve {

struct RankPlace {
  std::string ip;
  int device_id = 0;
};

// How graph calls travel to the agents: through shared memory to those on the server's host, over
// their gRPC streams to all others. kShm makes a group without shared memory an error.
enum class LaneKind { kAuto, kShm, kGrpc };

// How launchers and agents come in at their server's door.
struct AgentCredentials {
  std::optional<ClientSslOptions> ssl = {};
  std::string token = {};  // The server's; empty: none is shown.
};

struct AgentGroupConfig {
  std::string servable_name;
  int rank_size = 0;
  int stage_size = 0;
  std::string rank_table_json;   // The file's content, verbatim.
  std::vector<RankPlace> ranks;  // Indexed by rank.
};

// Asks the server at `address`, waiting up to `timeout` for it to listen and to have read its rank
// table. Errors: kUnavailable, kDeadlineExceeded (also when TLS is not as the server's);
// kInvalidArgument (files or a token that cannot be used), kUnauthenticated (the token).
Result<AgentGroupConfig> AcquireAgentConfig(const std::string& address,
                                            std::chrono::milliseconds timeout,
                                            const AgentCredentials& credentials = {});

// Tells the server that this machine's agents could not be started, so that it stops waiting.
Status ReportAgentsFailed(const std::string& address, const std::string& reason,
                          const AgentCredentials& credentials = {});

}  // namespace pipeserve
