// A distributed servable between its agents and the clients.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "agent/agent_hub.h"
#include "base/cancel_token.h"
#include "base/mutex.h"
#include "pipeserve/server.h"
#include "scheduler/servable.h"
#include "server/version_table.h"

namespace pipeserve {

// Publishes the servable once its group of agents is ready for the first time. When agents are lost
// later it stays: requests wait for their return as long as that is worth it. Thread-safe.
class DistributedServable {
 public:
  // Opens the agents' door; name and version are reserved in `versions`, which outlives this.
  // Errors: those of the rank table; kUnavailable (the port cannot be bound).
  static Result<std::unique_ptr<DistributedServable>> Start(
      const ServableSpec& spec, const DistributedServableOptions& options,
      const SchedulerOptions& scheduler, VersionTable* versions);
  ~DistributedServable();  // Stop().

  const ServableSpec& spec() const { return spec_; }
  const std::string& address() const { return hub_->address(); }

  // See Server::WaitReady().
  Status WaitReady(Deadline deadline);

  // Fills in what a table of versions does not know.
  void Describe(ServableState* state);

  // Lets what runs finish, then tells the agents. Idempotent.
  void Stop();

 private:
  DistributedServable(ServableSpec spec, const DistributedServableOptions& options,
                      const SchedulerOptions& scheduler, VersionTable* versions,
                      std::unique_ptr<AgentHub> hub);

  // The state once it is more than that agents are missing, or at the deadline.
  Status WaitForNews(Deadline deadline);
  void Run();
  // Warms the servable up on the group and serves until Stop() is called, through all epochs of
  // the group, or until the group is lost and must not be.
  void Run(std::shared_ptr<Executor> group);
  void Serve(Servable* servable, uint64_t first_epoch);
  void SetState(Status state);
  // True when Stop() has been called; waits a little for it.
  bool WaitForStop();
  bool stopping();

  const ServableSpec spec_;
  const SchedulerOptions scheduler_;
  VersionTable& versions_;
  const std::shared_ptr<AgentHub> hub_;  // Whoever looks at a version may still ask it.
  const bool warm_up_;
  const std::shared_ptr<CancelToken> warm_up_cancel_ = std::make_shared<CancelToken>();
  const std::function<void()> on_agent_lost_;  // See DistributedServableOptions.

  Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  Status state_ GUARDED_BY(mutex_);  // Success while it is served.
  bool has_served_ GUARDED_BY(mutex_) = false;
  Mutex stop_mutex_;
  std::jthread waiter_;  // Last, so it is joined before anything it reads is destroyed.
};

}  // namespace pipeserve
