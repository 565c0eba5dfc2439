#include "agent/group_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <utility>

namespace pipeserve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Phase = GroupPhase;

GroupState ReadyState() {
  GroupState state(2);
  state.Connect(0);
  state.Connect(1);
  state.Join(0, 1);
  state.Join(1, 1);
  return state;
}

TEST(GroupStateTest, FormsWhenTheLastRankConnectsAndIsReadyWhenAllJoined) {
  GroupState state(2);
  EXPECT_FALSE(state.Connect(1));
  EXPECT_EQ(state.phase(), Phase::kGathering);
  EXPECT_TRUE(state.Connect(0));
  EXPECT_EQ(state.phase(), Phase::kForming);
  EXPECT_EQ(state.epoch(), 1u);
  EXPECT_FALSE(state.Join(0, 1));
  EXPECT_TRUE(state.Join(1, 1));
  EXPECT_EQ(state.phase(), Phase::kReady);
}

TEST(GroupStateTest, JoiningTwiceDoesNotStandInForAnotherRank) {
  GroupState state(2);
  state.Connect(0);
  state.Connect(1);
  EXPECT_FALSE(state.Join(0, 1));
  EXPECT_FALSE(state.Join(0, 1));
  EXPECT_EQ(state.phase(), Phase::kForming);
}

TEST(GroupStateTest, JoinOfAnotherEpochChangesNothing) {
  GroupState state(1, 7);
  state.Connect(0);
  EXPECT_EQ(state.epoch(), 8u);
  EXPECT_FALSE(state.Join(0, 7));
  EXPECT_TRUE(state.Join(0, 8));
}

TEST(GroupStateTest, WhileGatheringOnlyTheLostRankGoes) {
  GroupState state(3);
  state.Connect(0);
  state.Connect(1);
  EXPECT_THAT(state.Disconnect(0), IsEmpty());
  EXPECT_TRUE(state.connected(1));
  EXPECT_EQ(state.present_count(), 1);
}

TEST(GroupStateTest, LostRankEndsTheEpochAndAllOthersLeave) {
  GroupState state = ReadyState();
  EXPECT_THAT(state.Disconnect(1), ElementsAre(0));
  EXPECT_EQ(state.phase(), Phase::kGathering);
  EXPECT_TRUE(state.connected(0));
  EXPECT_EQ(state.present_count(), 0);
}

TEST(GroupStateTest, RankThatIsLeavingDoesNotCountForTheNextEpoch) {
  GroupState state = ReadyState();
  state.Disconnect(1);
  EXPECT_FALSE(state.Connect(1));
  EXPECT_EQ(state.phase(), Phase::kGathering);
  EXPECT_THAT(state.Disconnect(0), IsEmpty());
  EXPECT_TRUE(state.Connect(0));
  EXPECT_EQ(state.epoch(), 2u);
}

TEST(GroupStateTest, FailedFormationMakesEveryRankLeaveOnce) {
  GroupState state(2);
  state.Connect(0);
  state.Connect(1);
  EXPECT_THAT(state.EndEpoch(0), IsEmpty());
  EXPECT_THAT(state.EndEpoch(1), ElementsAre(0, 1));
  EXPECT_THAT(state.EndEpoch(1), IsEmpty());
}

// Reachable states and what the table says of each of them.
template <typename State, typename Event, size_t kCount>
void ExpectSound(const Transition<State, Event> (&table)[kCount], State first, size_t state_count) {
  std::set<std::pair<State, Event>> rows;
  std::set<State> reached{first}, left;
  for (const auto& row : table) {
    EXPECT_TRUE(rows.emplace(row.from, row.event).second) << "one state has two ways out";
    EXPECT_NE(row.from, row.to);
    reached.insert(row.to);
    left.insert(row.from);
  }
  EXPECT_EQ(reached.size(), state_count);
  EXPECT_EQ(left, reached) << "a state without a way out";
}

TEST(GroupStateTest, EveryStateCanBeReachedAndLeft) {
  ExpectSound(kRankTransitions, RankState::kAbsent, 4);
  ExpectSound(kGroupTransitions, GroupPhase::kGathering, 3);
}

bool InTable(RankState from, RankState to) {
  return std::any_of(std::begin(kRankTransitions), std::end(kRankTransitions),
                     [&](const auto& row) { return row.from == from && row.to == to; });
}

bool InTable(GroupPhase from, GroupPhase to) {
  return std::any_of(std::begin(kGroupTransitions), std::end(kGroupTransitions),
                     [&](const auto& row) { return row.from == from && row.to == to; });
}

// What holds after any sequence of events, whatever came before.
void ExpectConsistent(const GroupState& state, int rank_size) {
  for (int rank = 0; rank < rank_size; ++rank) {
    const RankState each = state.rank(rank);
    if (state.phase() == Phase::kReady) {
      EXPECT_EQ(each, RankState::kJoined);
    } else if (state.phase() == Phase::kForming) {
      EXPECT_TRUE(each == RankState::kConnected || each == RankState::kJoined);
    } else {
      EXPECT_NE(each, RankState::kJoined);
    }
  }
}

TEST(GroupStateTest, NothingButTheTableMovesAStateWhateverComes) {
  constexpr int kRanks = 3;
  std::mt19937 random(7);
  GroupState state(kRanks, 4);
  std::set<std::pair<RankState, RankState>> rank_moves;
  std::set<std::pair<GroupPhase, GroupPhase>> group_moves;
  for (int step = 0; step < 20'000; ++step) {
    const GroupState before = state;
    const int rank = static_cast<int>(random() % kRanks);
    const uint64_t epoch = state.epoch() - random() % 2;
    switch (random() % 8) {
      case 0:
        state.Disconnect(rank);
        break;
      case 1:
        state.EndEpoch(epoch);
        break;
      case 2:
      case 3:
      case 4:
        state.Join(rank, epoch);
        break;
      default:
        if (!state.connected(rank)) state.Connect(rank);
    }
    ExpectConsistent(state, kRanks);
    EXPECT_GE(state.epoch(), before.epoch());
    for (int each = 0; each < kRanks; ++each) {
      if (before.rank(each) != state.rank(each)) {
        rank_moves.emplace(before.rank(each), state.rank(each));
      }
    }
    if (before.phase() != state.phase()) group_moves.emplace(before.phase(), state.phase());
  }
  for (const auto& [from, to] : group_moves) EXPECT_TRUE(InTable(from, to));
  EXPECT_EQ(group_moves.size(), 4u);
  for (const auto& [from, to] : rank_moves) EXPECT_TRUE(InTable(from, to));
}

}  // namespace
}  // namespace pipeserve
