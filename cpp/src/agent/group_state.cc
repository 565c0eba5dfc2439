#include "agent/group_state.h"

#include <algorithm>

#include "base/check.h"

namespace pipeserve {
namespace {

template <typename State, typename Event, size_t kCount>
State Next(const Transition<State, Event> (&table)[kCount], State from, Event event) {
  const auto found = std::find_if(std::begin(table), std::end(table), [&](const auto& row) {
    return row.from == from && row.event == event;
  });
  return found == std::end(table) ? from : found->to;
}

}  // namespace

const char* NameOf(RankState state) {
  switch (state) {
    case RankState::kAbsent:
      return "absent";
    case RankState::kConnected:
      return "connected";
    case RankState::kJoined:
      return "joined";
    case RankState::kLeaving:
      return "leaving";
  }
  return "unknown";
}

const char* NameOf(GroupPhase phase) {
  switch (phase) {
    case GroupPhase::kGathering:
      return "gathering";
    case GroupPhase::kForming:
      return "forming";
    case GroupPhase::kReady:
      return "ready";
  }
  return "unknown";
}

void GroupState::Apply(int rank, RankEvent event) {
  RankState& state = ranks_[static_cast<size_t>(rank)];
  state = Next(kRankTransitions, state, event);
}

void GroupState::Apply(GroupEvent event) { phase_ = Next(kGroupTransitions, phase_, event); }

int GroupState::present_count() const {
  return static_cast<int>(std::count_if(ranks_.begin(), ranks_.end(), [](RankState state) {
    return state == RankState::kConnected || state == RankState::kJoined;
  }));
}

bool GroupState::Connect(int rank) {
  PIPESERVE_DCHECK(!connected(rank));
  Apply(rank, RankEvent::kConnects);
  if (!AllAre(RankState::kConnected)) return false;
  Apply(GroupEvent::kAllConnected);
  ++epoch_;
  return true;
}

bool GroupState::Join(int rank, uint64_t epoch) {
  if (phase_ != GroupPhase::kForming || epoch != epoch_) return false;
  Apply(rank, RankEvent::kJoins);
  if (!AllAre(RankState::kJoined)) return false;
  Apply(GroupEvent::kAllJoined);
  return true;
}

std::vector<int> GroupState::Disconnect(int rank) {
  Apply(rank, RankEvent::kDisconnects);
  return EndEpoch(epoch_);
}

std::vector<int> GroupState::EndEpoch(uint64_t epoch) {
  std::vector<int> leaving;
  if (phase_ == GroupPhase::kGathering || epoch != epoch_) return leaving;
  Apply(GroupEvent::kEpochEnds);
  for (int rank = 0; rank < static_cast<int>(ranks_.size()); ++rank) {
    Apply(rank, RankEvent::kEpochEnds);
    if (connected(rank)) leaving.push_back(rank);
  }
  return leaving;
}

bool GroupState::AllAre(RankState state) const {
  return std::all_of(ranks_.begin(), ranks_.end(), [&](RankState each) { return each == state; });
}

}  // namespace pipeserve
