#include "agent/group_state.h"

#include <algorithm>

#include "base/check.h"

namespace pipeserve {

int GroupState::present_count() const {
  return static_cast<int>(std::count_if(ranks_.begin(), ranks_.end(), [](RankState state) {
    return state == RankState::kConnected || state == RankState::kJoined;
  }));
}

bool GroupState::Connect(int rank) {
  PIPESERVE_DCHECK(!connected(rank));
  of(rank) = RankState::kConnected;
  if (!AllAre(RankState::kConnected)) return false;
  phase_ = Phase::kForming;
  ++epoch_;
  return true;
}

bool GroupState::Join(int rank, uint64_t epoch) {
  if (phase_ != Phase::kForming || epoch != epoch_) return false;
  of(rank) = RankState::kJoined;
  if (!AllAre(RankState::kJoined)) return false;
  phase_ = Phase::kReady;
  return true;
}

std::vector<int> GroupState::Disconnect(int rank) {
  of(rank) = RankState::kAbsent;
  return EndEpoch(epoch_);
}

std::vector<int> GroupState::EndEpoch(uint64_t epoch) {
  std::vector<int> leaving;
  if (phase_ == Phase::kGathering || epoch != epoch_) return leaving;
  phase_ = Phase::kGathering;
  for (size_t rank = 0; rank < ranks_.size(); ++rank) {
    if (ranks_[rank] == RankState::kAbsent) continue;
    ranks_[rank] = RankState::kLeaving;
    leaving.push_back(static_cast<int>(rank));
  }
  return leaving;
}

bool GroupState::AllAre(RankState state) const {
  return std::all_of(ranks_.begin(), ranks_.end(), [&](RankState each) { return each == state; });
}

}  // namespace pipeserve
