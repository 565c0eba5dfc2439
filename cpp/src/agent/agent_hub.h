// The server's end of a distributed servable: the door where agents register, and the group that
// they form, which the scheduler sees as one Executor.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/rank_table.h"
#include "executor/executor.h"
#include "pipeserve/agent.h"
#include "pipeserve/agent_group_state.h"

namespace pipeserve {

struct AgentHubOptions {
  std::string servable_name;
  uint64_t version = 1;
  int stage_size = 1;
  RankTable rank_table;  // Already checked against rank_size and stage_size.
  bool with_batch_dim = false;
  std::vector<int> without_batch_dim_inputs;
  std::string address;  // "ip:port"; port 0 picks a free one.
  std::optional<SslOptions> ssl = {};
  std::string token = {};  // Agents and launchers have to show it; empty: none is asked for.
  std::chrono::milliseconds call_timeout{10'000};
  // A silent agent is asked for a sign of life this often, and lost when there is none for as long.
  std::chrono::milliseconds heartbeat{1'000};
  std::chrono::milliseconds dead_after{3'000};
  // How long calls wait for lost agents to be replaced, see FailoverGroup.
  std::chrono::milliseconds failover_timeout{30'000};
  LaneKind lane = LaneKind::kAuto;
  bool wait_for_all = false;  // See RemoteGroupOptions.
};

// Thread-safe.
class AgentHub {
 public:
  // Opens the door. Errors: kUnavailable (the port cannot be bound); kInvalidArgument (files or a
  // token that cannot be used).
  static Result<std::unique_ptr<AgentHub>> Create(const AgentHubOptions& options);
  ~AgentHub();  // Stop().

  const std::string& address() const;  // With the bound port.

  // Waits until every rank has registered and is connected. What comes back lives through later
  // epochs. Errors: kDeadlineExceeded (the
  // message says how many are there), kFailedPrecondition (the agents disagree or failed),
  // kCancelled (stopped).
  Result<std::shared_ptr<Executor>> WaitReady(Deadline deadline);

  // The number of the group's epoch while it is ready: all of its ranks are connected and have
  // joined each other. 0: it is not.
  uint64_t ready_epoch() const;
  bool ready() const { return ready_epoch() != 0; }

  // Also while calls wait for agents that may still come back.
  bool available() const;

  AgentGroupState state() const;

  // Tells all agents to exit, fails what is in flight with kUnavailable, closes the door.
  void Stop();

 private:
  class Impl;
  explicit AgentHub(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipeserve
