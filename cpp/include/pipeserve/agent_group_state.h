// The agents of a servable at one moment, for whoever operates them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace [[gnu::visibility("default")]] pipeserve {

struct AgentState {
  int rank = 0;
  std::string ip = {};  // Of the rank table.
  int device_id = 0;
  std::string state = {};         // "absent", "connected", "joined", "leaving".
  std::string peer_address = {};  // Where its peers reach it; empty while it is absent.
  std::string device = {};        // "cpu", "ascend"; the same.
};

// The agents of a servable.
struct AgentGroupState {
  std::string address = {};  // Where they register.
  std::string phase = {};    // "gathering", "forming", "ready".
  uint64_t epoch = 0;        // The number of the current or, while gathering, the last one.
  uint64_t epoch_count = 0;  // Epochs that have begun since the servable was started.
  int stage_size = 1;
  std::vector<AgentState> agents = {};  // By rank.
};

}  // namespace pipeserve
