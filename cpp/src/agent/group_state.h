// Which ranks are there and what that makes of the group: the state machine, alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pipeserve {

enum class RankState { kAbsent, kConnected, kJoined, kLeaving };
enum class RankEvent { kConnects, kJoins, kEpochEnds, kDisconnects };

enum class GroupPhase { kGathering, kForming, kReady };
enum class GroupEvent { kAllConnected, kAllJoined, kEpochEnds };

// "absent", "gathering", ...
const char* NameOf(RankState state);
const char* NameOf(GroupPhase phase);

template <typename State, typename Event>
struct Transition {
  State from;
  Event event;
  State to;
};

// Everything that may happen to a rank. What is not here changes nothing.
inline constexpr Transition<RankState, RankEvent> kRankTransitions[] = {
    {RankState::kAbsent, RankEvent::kConnects, RankState::kConnected},
    {RankState::kConnected, RankEvent::kJoins, RankState::kJoined},
    {RankState::kConnected, RankEvent::kEpochEnds, RankState::kLeaving},
    {RankState::kConnected, RankEvent::kDisconnects, RankState::kAbsent},
    {RankState::kJoined, RankEvent::kEpochEnds, RankState::kLeaving},
    {RankState::kJoined, RankEvent::kDisconnects, RankState::kAbsent},
    {RankState::kLeaving, RankEvent::kDisconnects, RankState::kAbsent},
};

// Everything that may happen to a group.
inline constexpr Transition<GroupPhase, GroupEvent> kGroupTransitions[] = {
    {GroupPhase::kGathering, GroupEvent::kAllConnected, GroupPhase::kForming},
    {GroupPhase::kForming, GroupEvent::kAllJoined, GroupPhase::kReady},
    {GroupPhase::kForming, GroupEvent::kEpochEnds, GroupPhase::kGathering},
    {GroupPhase::kReady, GroupEvent::kEpochEnds, GroupPhase::kGathering},
};

// Not thread-safe. An epoch begins when every rank is connected and ends when one of them goes;
// then all others must leave as well and come back, because their collectives are paired up. Ranks
// join while the group forms only; what speaks of another epoch than the current one changes
// nothing.
class GroupState {
 public:
  // The first epoch is the one after `last_epoch`.
  explicit GroupState(int rank_size, uint64_t last_epoch = 0)
      : ranks_(static_cast<size_t>(rank_size)), epoch_(last_epoch) {}

  GroupPhase phase() const { return phase_; }
  // Of the group that forms or is ready; the last one's while gathering.
  uint64_t epoch() const { return epoch_; }
  RankState rank(int rank) const { return ranks_[static_cast<size_t>(rank)]; }
  bool connected(int rank) const { return this->rank(rank) != RankState::kAbsent; }
  // Connected and not on its way out.
  int present_count() const;

  // `rank` has connected; it must not be connected. True when it was the last one missing, which
  // begins the next epoch: phase is kForming.
  bool Connect(int rank);

  // `rank` has joined its peers. True when it was the last one: phase is kReady.
  bool Join(int rank, uint64_t epoch);

  // `rank`'s connection has ended. Returns the ranks that have to leave because of it.
  std::vector<int> Disconnect(int rank);

  // The epoch cannot go on. Returns the ranks that have to leave: all that are still connected.
  // None when `epoch` is not the current one, or over.
  std::vector<int> EndEpoch(uint64_t epoch);

 private:
  void Apply(int rank, RankEvent event);
  void Apply(GroupEvent event);
  bool AllAre(RankState state) const;

  std::vector<RankState> ranks_;
  GroupPhase phase_ = GroupPhase::kGathering;
  uint64_t epoch_;
};

}  // namespace pipeserve
