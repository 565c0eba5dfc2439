// An executor of one rank of a servable, whose graphs meet other ranks.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "executor/call_pipeline.h"
#include "executor/communicator.h"
#include "executor/device_traits.h"
#include "executor/executor.h"

namespace pipeserve {

using AnnounceCommunicator = std::function<void(std::shared_ptr<Communicator>)>;

// A group lasts for one epoch. No call may be running while it is left or joined; until one is
// joined, calls of graphs that need it return kUnavailable.
class RankExecutor : public Executor {
 public:
  // Idempotent.
  virtual void LeaveGroup() = 0;
  // Meets the other ranks by `communicator` from now on. All ranks at once. Before it waits for
  // them it hands to `announce` what is to be aborted when the epoch is over.
  // Errors: those of the device's own collectives, kDeadlineExceeded, what it was aborted with.
  virtual Status JoinGroup(std::shared_ptr<Communicator> communicator, Deadline deadline,
                           const AnnounceCommunicator& announce) = 0;

  // The same on all ranks of a group.
  virtual DeviceTraits traits() const { return {}; }
  // How long it may take until all ranks have found each other.
  virtual Duration join_limit() const { return std::chrono::seconds(5); }
  // Not OK once the device is lost to this process, with what it was lost by: from then on every
  // call fails, and only a new process helps. Waits for Run(), not for calls that have begun.
  virtual Status Health() { return OkStatus(); }

  // Where calls can be begun before earlier ones have ended; null: they cannot. Lives as long.
  virtual CallPipeline* pipeline() { return nullptr; }
};

}  // namespace pipeserve
