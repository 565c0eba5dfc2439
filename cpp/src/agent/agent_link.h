// The server's end of the connection to one agent: a lane for calls, and the control messages.
#pragma once

#include <string>
#include <vector>

#include "agent/lane.h"
#include "executor/group_epoch.h"

namespace pipeserve {

// As Lane: thread-safe, never blocks, never reports on the calling thread.
class AgentLink : public Lane {
 public:
  // `shared_memory`: memory for the calls has been sent to the agent's lane address.
  virtual void FormGroup(const GroupEpoch& epoch, const std::vector<std::string>& peer_addresses,
                         bool shared_memory) = 0;
  // Tells the agent to end its process, then ends the connection.
  virtual void Exit(const std::string& reason) = 0;
};

}  // namespace pipeserve
