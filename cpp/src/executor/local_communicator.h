// Collectives and messages among threads of one process.
#pragma once

#include <memory>
#include <vector>

#include "executor/communicator.h"

namespace pipeserve {

// One communicator per rank of a group of `size` (at least 1) ranks, indexed by rank. Each is
// meant for a thread of its own. Peers of a rank that aborted get kAborted with its reason; peers
// of one that failed or was destroyed get kUnavailable.
std::vector<std::shared_ptr<Communicator>> MakeLocalCommunicators(int size);

}  // namespace pipeserve
