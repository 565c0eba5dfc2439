// Registers agents, forms them into a group, and forms it anew when one of them was lost. Knows
// no transport: the hub's service and tests drive it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/agent_hub.h"
#include "agent/agent_link.h"
#include "agent/failover_group.h"
#include "agent/group_check.h"
#include "agent/group_state.h"
#include "agent/remote_group.h"
#include "agent/shm_space.h"
#include "base/mutex.h"

namespace pipeserve {

// What an agent says when it registers.
struct AgentSpec {
  int rank = 0;
  uint64_t instance = 0;  // Tells processes apart.
  std::string peer_address;
  std::string lane_address = {};  // Where it takes shared memory; may be empty.
  DeviceTraits device = {};
  AgentGraphs graphs = {};
};

// Thread-safe.
class GroupKeeper {
 public:
  explicit GroupKeeper(const AgentHubOptions& options);
  ~GroupKeeper();

  // Returns the token that Connect() wants. Errors: see AgentHub.Register in proto/agent.proto.
  Result<std::string> Register(AgentSpec spec);

  // `link` is used until Disconnected() tells that it ended. Errors: kInvalidArgument (no such
  // rank), kUnavailable (not the token of the latest registration, the rank's earlier connection
  // has not ended, stopped): register again. kFailedPrecondition: as Register().
  Status Connect(int rank, const std::string& token, std::shared_ptr<AgentLink> link);

  // What a connected agent reports. Messages of older epochs change nothing. `shares_memory` is OK
  // when the agent has mapped what it was offered, or says why it has not.
  void GroupReady(int rank, uint64_t epoch, const Status& shares_memory);
  void GroupFailed(int rank, uint64_t epoch, const std::string& message);
  void CallFailed(int rank, uint64_t epoch, uint64_t sequence, const Status& status);
  // The connection of `rank`, which Connect() had accepted, has ended.
  void Disconnected(int rank, const Status& reason);

  void ReportFailure(const std::string& reason);

  Result<std::shared_ptr<Executor>> WaitReady(Deadline deadline);
  uint64_t ready_epoch() const;  // See AgentHub.
  bool ready() const { return ready_epoch() != 0; }
  bool available() const;
  AgentGroupState state() const;  // Without the address.
  // Tells the agents to exit and refuses new ones. Idempotent.
  void Stop(const std::string& reason);

 private:
  struct Seat {  // What is known about one rank.
    std::optional<AgentSpec> spec;
    std::string token;  // Empty: none is valid.
    std::shared_ptr<AgentLink> link;
    std::optional<ShmRingMemory> ring;  // Shared with the agent in this epoch.
  };

  Status CheckRank(int rank) const;
  Status CheckFits(const AgentSpec& spec) const REQUIRES(mutex_);
  std::vector<AgentGraphs> ConnectedGraphs() const REQUIRES(mutex_);
  AgentDevices ConnectedDevices() const REQUIRES(mutex_);
  void MakeGroup() REQUIRES(mutex_);
  void FormGroup() REQUIRES(mutex_);
  void OfferMemory(const GroupEpoch& epoch) REQUIRES(mutex_);
  Status OfferMemory(const GroupEpoch& epoch, Seat* seat) const REQUIRES(mutex_);
  Status BeginEpoch() REQUIRES(mutex_);
  void EndEpoch(uint64_t epoch, const std::vector<int>& leaving, const Status& reason)
      REQUIRES(mutex_);

  const std::string servable_name_;
  const std::vector<RankPlace> places_;
  const GroupShape shape_;
  const Duration call_timeout_;
  const Duration failover_timeout_;
  const LaneKind lane_;
  const bool wait_for_all_;

  // Links and the group are called with the mutex held: they only queue, and never call back.
  mutable Mutex mutex_;
  CondVar changed_;
  const uint64_t last_epoch_before_;
  GroupState state_ GUARDED_BY(mutex_);
  std::vector<Seat> seats_ GUARDED_BY(mutex_);
  // Made when the first group forms; from then on the agents' signatures are settled.
  std::shared_ptr<RemoteGroup> group_ GUARDED_BY(mutex_);
  std::shared_ptr<FailoverGroup> executor_ GUARDED_BY(mutex_);  // What callers have of it.
  std::shared_ptr<ShmSpace> space_ GUARDED_BY(mutex_);          // Of the epoch; null without.
  Status no_memory_ GUARDED_BY(mutex_);  // Why a rank of the epoch does not share it.
  std::optional<std::string> failure_ GUARDED_BY(mutex_);  // Until a group is ready.
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace pipeserve
