// An executor of one rank of a servable, whose graphs meet other ranks.
#pragma once

#include <memory>

#include "executor/call_pipeline.h"
#include "executor/communicator.h"
#include "executor/executor.h"

namespace pipeserve {

// A group lasts for one epoch. No call may be running while it is left or joined; until one is
// joined, calls of graphs that need it return kUnavailable.
class RankExecutor : public Executor {
 public:
  // Idempotent.
  virtual void LeaveGroup() = 0;
  // Meets the other ranks by `communicator` from now on. All ranks at once. Returns what is to be
  // aborted when the epoch is over.
  // Errors: those of the device's own collectives.
  virtual Result<std::shared_ptr<Communicator>> JoinGroup(
      std::shared_ptr<Communicator> communicator) = 0;

  // Where calls can be begun before earlier ones have ended; null: they cannot. Lives as long.
  virtual CallPipeline* pipeline() { return nullptr; }
};

}  // namespace pipeserve
