// The command line of pipeserve-agent.
#pragma once

#include <string>
#include <vector>

#include "executor/device_choice.h"
#include "executor/join_collectives.h"
#include "graph/model_file.h"
#include "pipeserve/agent.h"
#include "pipeserve/status.h"

namespace pipeserve {

struct AgentFlags {
  bool help = false;
  bool version = false;
  std::string server;
  AgentCredentials credentials;
  int rank = -1;
  int rank_size = 1;
  DeviceKind device = DeviceKind::kAuto;
  int device_id = 0;
  ascend::Precision precision = ascend::Precision::kStrict;
  bool deterministic = false;
  bool overlap = false;
  std::string rank_table;           // Empty: ranks on Ascend find each other without one.
  std::vector<std::string> models;  // Indexed by subgraph.
  std::string group_config;         // Empty: none.
  std::string listen = "127.0.0.1:0";
  int threads = 0;
  int local_ranks = 0;
  Collectives collectives = Collectives::kAuto;
  int launcher_fd = -1;
  int status_fd = -1;
  int heartbeat_ms = 1'000;
  int key_fd = -1;
  DecryptMode dec_mode = DecryptMode::kAesGcm;
};

extern const char kAgentUsage[];

// The flags with all defaults filled in. Errors: kInvalidArgument, naming the flag.
Result<AgentFlags> ParseAgentFlags(int argc, char** argv);

}  // namespace pipeserve
