#include "agent/group_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pipeserve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Phase = GroupState::Phase;

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

}  // namespace
}  // namespace pipeserve
