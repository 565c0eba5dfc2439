// What a launcher of agents asks a server before it starts them.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "pipeserve/status.h"

namespace [[gnu::visibility("default")]] pipeserve {

struct RankPlace {
  std::string ip;
  int device_id = 0;
};

// How graph calls travel to the agents: through shared memory to those on the server's host, over
// their gRPC streams to all others. kShm makes a group without shared memory an error.
enum class LaneKind { kAuto, kShm, kGrpc };

struct AgentGroupConfig {
  std::string servable_name;
  int rank_size = 0;
  int stage_size = 0;
  std::string rank_table_json;   // The file's content, verbatim.
  std::vector<RankPlace> ranks;  // Indexed by rank.
};

// Asks the server at `address`, waiting up to `timeout` for it to listen and to have read its rank
// table. Errors: kUnavailable, kDeadlineExceeded.
Result<AgentGroupConfig> AcquireAgentConfig(const std::string& address,
                                            std::chrono::milliseconds timeout);

// Tells the server that this machine's agents could not be started, so that it stops waiting.
Status ReportAgentsFailed(const std::string& address, const std::string& reason);

}  // namespace pipeserve
