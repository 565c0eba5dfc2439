// Which ranks are there and what that makes of the group: the state machine, alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pipeserve {

// Not thread-safe. An epoch begins when every rank is connected and ends when one of them goes;
// then all others must leave as well and come back, because their collectives are paired up.
//
//   gathering --all connected--> forming --all joined--> ready
//       ^---------- a rank goes, or fails to join ---------'
class GroupState {
 public:
  enum class Phase { kGathering, kForming, kReady };

  // The first epoch is the one after `last_epoch`.
  explicit GroupState(int rank_size, uint64_t last_epoch = 0)
      : ranks_(static_cast<size_t>(rank_size)), epoch_(last_epoch) {}

  Phase phase() const { return phase_; }
  // Of the group that forms or is ready; the last one's while gathering.
  uint64_t epoch() const { return epoch_; }
  bool connected(int rank) const { return of(rank) != RankState::kAbsent; }
  // Connected and not on its way out.
  int present_count() const;

  // `rank` has connected; it must not be connected. True when it was the last one missing, which
  // begins the next epoch: phase is kForming.
  bool Connect(int rank);

  // `rank` has joined its peers. True when it was the last one: phase is kReady. What speaks of
  // another epoch changes nothing.
  bool Join(int rank, uint64_t epoch);

  // `rank`'s connection has ended. Returns the ranks that have to leave because of it.
  std::vector<int> Disconnect(int rank);

  // The epoch cannot go on. Returns the ranks that have to leave: all that are still connected.
  // None when `epoch` is not the current one, or over.
  std::vector<int> EndEpoch(uint64_t epoch);

 private:
  enum class RankState { kAbsent, kConnected, kJoined, kLeaving };

  RankState& of(int rank) { return ranks_[static_cast<size_t>(rank)]; }
  RankState of(int rank) const { return ranks_[static_cast<size_t>(rank)]; }
  bool AllAre(RankState state) const;

  std::vector<RankState> ranks_;
  Phase phase_ = Phase::kGathering;
  uint64_t epoch_;
};

}  // namespace pipeserve
