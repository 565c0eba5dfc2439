#include "agent/group_keeper.h"

#include <gtest/gtest.h>

#include "agent/fake_lane.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

const GraphSignature kGraph{.inputs = {{"x", DataType::kFloat32, {2}}},
                            .outputs = {{"y", DataType::kFloat32, {2}}}};
const GraphSignature kOther{.inputs = {{"x", DataType::kFloat32, {3}}},
                            .outputs = {{"y", DataType::kFloat32, {2}}}};
const Deadline kNow = Deadline(TimePoint{});
const Status kNoMemory = Unavailable("none was offered");

AgentHubOptions Options(size_t ranks) {
  AgentHubOptions options;
  options.servable_name = "matmul";
  options.rank_table.ranks.resize(ranks);
  return options;
}

AgentSpec Spec(int rank, AgentGraphs graphs = {kGraph}, uint64_t instance = 1) {
  return {.rank = rank,
          .instance = instance,
          .peer_address = "peer" + std::to_string(rank),
          .lane_address = "",
          .graphs = std::move(graphs)};
}

class GroupKeeperTest : public ::testing::Test {
 protected:
  // Registers and connects `rank`.
  std::shared_ptr<FakeLink> Connect(int rank) {
    const auto link = std::make_shared<FakeLink>();
    const Result<std::string> token = keeper_.Register(Spec(rank));
    EXPECT_OK(token);
    if (token.ok()) {
      EXPECT_OK(keeper_.Connect(rank, *token, link));
    }
    return link;
  }

  GroupKeeper keeper_{Options(2)};
};

TEST_F(GroupKeeperTest, RanksOfAnEpochGetOneSecretAndThoseOfTheNextAnother) {
  const auto zero = Connect(0), one = Connect(1);
  EXPECT_EQ(zero->secret().size(), 32u);
  EXPECT_EQ(zero->secret(), one->secret());
  const std::string before = zero->secret();
  keeper_.Disconnected(0, Unavailable("gone"));
  keeper_.Disconnected(1, Unavailable("gone"));
  const auto next = Connect(0);
  Connect(1);
  EXPECT_EQ(next->secret().size(), 32u);
  EXPECT_NE(next->secret(), before);
}

TEST_F(GroupKeeperTest, GroupIsReadyWhenAllRanksHaveJoined) {
  const auto zero = Connect(0);
  EXPECT_ERROR(keeper_.WaitReady(kNow), kDeadlineExceeded,
               "Failed to wait for ready of all agents, current agents count: 1, rank size: 2");
  const auto one = Connect(1);
  EXPECT_EQ(one->peers(), (std::vector<std::string>{"peer0", "peer1"}));
  EXPECT_FALSE(keeper_.ready());
  keeper_.GroupReady(0, zero->epoch(), kNoMemory);
  keeper_.GroupReady(1, one->epoch(), kNoMemory);
  EXPECT_TRUE(keeper_.ready());
  const Result<std::shared_ptr<Executor>> executor = keeper_.WaitReady(kNow);
  ASSERT_OK(executor);
  EXPECT_EQ((*executor)->graph_count(), 1);
}

TEST_F(GroupKeeperTest, WrongAgentsAreRefusedAndTheRightOneIsStillTaken) {
  EXPECT_ERROR(keeper_.Register(Spec(2)), kInvalidArgument, "there is no rank 2");
  EXPECT_ERROR(keeper_.Register(Spec(-1)), kInvalidArgument, "there is no rank -1");
  EXPECT_ERROR(keeper_.Register(Spec(0, {})), kInvalidArgument, "without a graph");
  Connect(0);
  EXPECT_ERROR(keeper_.Register(Spec(0, {kGraph}, 2)), kAlreadyExists, "rank 0");
  EXPECT_ERROR(keeper_.Register(Spec(1, {kGraph, kGraph})), kFailedPrecondition,
               "The number of graph not match");
  EXPECT_ERROR(keeper_.Register(Spec(1, {kOther})), kFailedPrecondition,
               "Rank 1 input infos not match rank 0");
  AgentSpec elsewhere = Spec(1);
  elsewhere.device.kind = "ascend";
  EXPECT_ERROR(keeper_.Register(elsewhere), kFailedPrecondition,
               "Rank 1 device not match rank 0, details: (ascend) and (cpu)");
  Connect(1);
}

TEST_F(GroupKeeperTest, AgentsThatRegisterAtOnceAreComparedWhenTheyConnect) {
  const Result<std::string> zero = keeper_.Register(Spec(0));
  const Result<std::string> one = keeper_.Register(Spec(1, {kOther}));
  ASSERT_OK(zero);
  ASSERT_OK(one);
  EXPECT_OK(keeper_.Connect(0, *zero, std::make_shared<FakeLink>()));
  EXPECT_ERROR(keeper_.Connect(1, *one, std::make_shared<FakeLink>()), kFailedPrecondition,
               "input infos not match");
}

TEST_F(GroupKeeperTest, TokenOpensOneConnection) {
  const Result<std::string> token = keeper_.Register(Spec(0));
  ASSERT_OK(token);
  EXPECT_ERROR(keeper_.Connect(0, "", std::make_shared<FakeLink>()), kUnavailable, "register");
  EXPECT_ERROR(keeper_.Connect(1, *token, std::make_shared<FakeLink>()), kUnavailable, "register");
  EXPECT_OK(keeper_.Connect(0, *token, std::make_shared<FakeLink>()));
  keeper_.Disconnected(0, Unavailable("gone"));
  EXPECT_ERROR(keeper_.Connect(0, *token, std::make_shared<FakeLink>()), kUnavailable, "register");
}

TEST_F(GroupKeeperTest, SameProcessComingBackEndsItsStaleConnection) {
  const auto link = Connect(0);
  EXPECT_ERROR(keeper_.Register(Spec(0)), kUnavailable, "registered again");
  EXPECT_FALSE(link->closed().ok());
}

TEST_F(GroupKeeperTest, LostRankSendsAllBackAndTheNextEpochForms) {
  const auto zero = Connect(0), one = Connect(1);
  keeper_.GroupReady(0, zero->epoch(), kNoMemory);
  keeper_.GroupReady(1, zero->epoch(), kNoMemory);
  keeper_.Disconnected(1, Unavailable("killed"));
  EXPECT_FALSE(keeper_.ready());
  EXPECT_THAT(zero->closed().message(), ::testing::HasSubstr("rank 1"));
  keeper_.Disconnected(0, zero->closed());

  EXPECT_ERROR(keeper_.Register(Spec(0, {kOther})), kFailedPrecondition, "other graphs");
  AgentSpec elsewhere = Spec(0);
  elsewhere.device.kind = "ascend";
  EXPECT_ERROR(keeper_.Register(elsewhere), kFailedPrecondition,
               "comes back with another device, (ascend), than it had before, (cpu)");
  const auto zero2 = Connect(0), one2 = Connect(1);
  EXPECT_EQ(zero2->epoch(), zero->epoch() + 1);
  keeper_.GroupReady(0, zero->epoch(), kNoMemory);  // Of the old epoch.
  keeper_.GroupReady(1, zero2->epoch(), kNoMemory);
  EXPECT_FALSE(keeper_.ready());
  keeper_.GroupReady(0, zero2->epoch(), kNoMemory);
  EXPECT_TRUE(keeper_.ready());
}

TEST_F(GroupKeeperTest, RankThatCannotJoinEndsTheEpoch) {
  const auto zero = Connect(0), one = Connect(1);
  keeper_.GroupReady(0, zero->epoch(), kNoMemory);
  keeper_.GroupFailed(1, zero->epoch(), "nobody listens");
  for (const auto& link : {zero, one}) {
    EXPECT_THAT(link->closed().message(), ::testing::HasSubstr("rank 1 could not join its peers"));
  }
  EXPECT_FALSE(keeper_.ready());
}

TEST_F(GroupKeeperTest, ReportedFailureEndsTheWaitUntilAGroupIsReady) {
  keeper_.ReportFailure("no such model");
  EXPECT_ERROR(keeper_.WaitReady(Deadline::Infinite()), kFailedPrecondition,
               "Failed to starting all agents, maybe some error reported: no such model");
  const auto zero = Connect(0), one = Connect(1);
  keeper_.GroupReady(0, zero->epoch(), kNoMemory);
  keeper_.GroupReady(1, zero->epoch(), kNoMemory);
  EXPECT_OK(keeper_.WaitReady(kNow));
}

TEST_F(GroupKeeperTest, StopTellsAgentsToExitAndRefusesNewOnes) {
  const auto zero = Connect(0);
  keeper_.Stop("bye");
  EXPECT_THAT(zero->closed().message(), ::testing::HasSubstr("exit: bye"));
  EXPECT_ERROR(keeper_.Register(Spec(1)), kUnavailable, "stopped");
  EXPECT_ERROR(keeper_.WaitReady(Deadline::Infinite()), kCancelled, "Worker or Agents has stopped");
}

}  // namespace
}  // namespace pipeserve
