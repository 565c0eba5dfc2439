#include "agent/group_check.h"

#include <gtest/gtest.h>

#include "support/matchers.h"

namespace pipeserve {
namespace {

const TensorInfo kX{"x", DataType::kFloat32, {4, 2}};
const TensorInfo kY{"y", DataType::kFloat32, {4, 3}};
const GraphSignature kWhole{.inputs = {kX}, .outputs = {kY}};
const GraphSignature kNoInputs{.inputs = {}, .outputs = {kY}};
const GroupShape kTwoStages{
    .rank_size = 4, .stage_size = 2, .with_batch_dim = false, .without_batch_dim_inputs = {}};
const GroupShape kOneStage{
    .rank_size = 2, .stage_size = 1, .with_batch_dim = true, .without_batch_dim_inputs = {}};

TEST(GroupCheckTest, AgentsThatFitAreAccepted) {
  EXPECT_OK(CheckGroup(kOneStage, {{kWhole}, {kWhole}}));
  EXPECT_OK(CheckGroup(kTwoStages, {{kWhole}, {kWhole}, {kNoInputs}, {kNoInputs}}));
  EXPECT_OK(CheckGroup(kTwoStages, {{kWhole}, {kWhole}, {kWhole}, {kWhole}}));
}

TEST(GroupCheckTest, AbsentAgentsContradictNobody) {
  EXPECT_OK(CheckGroup(kTwoStages, {{}, {}, {}, {}}));
  EXPECT_OK(CheckGroup(kTwoStages, {{}, {kWhole}, {}, {kNoInputs}}));
}

TEST(GroupCheckTest, GraphCountsMustAgree) {
  EXPECT_ERROR(CheckGroup(kOneStage, {{kWhole}, {kWhole, kWhole}}), kFailedPrecondition,
               "The number of graph not match in different agent");
}

TEST(GroupCheckTest, FirstRankTakesAndLastRankGives) {
  EXPECT_ERROR(CheckGroup(kOneStage, {{kNoInputs}, {}}), kFailedPrecondition,
               "Rank 0 input count cannot be 0");
  EXPECT_ERROR(CheckGroup(kOneStage, {{}, {{.inputs = {kX}, .outputs = {}}}}), kFailedPrecondition,
               "Rank 1 output count cannot be 0");
}

TEST(GroupCheckTest, InputsAgreeWithinTheFirstStage) {
  EXPECT_ERROR(
      CheckGroup(kOneStage, {{kWhole, kWhole}, {kWhole, {.inputs = {kY}, .outputs = {kY}}}}),
      kFailedPrecondition,
      "Rank 1 input infos not match rank 0, subgraph: 1, details: (float32[4,3])");
}

TEST(GroupCheckTest, LaterStagesAllTakeInputsOrNone) {
  const char* text =
      "Expect stage 0(other stages have empty inputs) or all stages have same inputs";
  EXPECT_ERROR(CheckGroup(kTwoStages, {{kWhole}, {kWhole}, {kNoInputs}, {kWhole}}),
               kFailedPrecondition, text);
  EXPECT_ERROR(CheckGroup(kTwoStages, {{kWhole}, {kWhole}, {kWhole}, {kNoInputs}}),
               kFailedPrecondition, text);
  const GraphSignature other{.inputs = {kY}, .outputs = {kY}};
  EXPECT_ERROR(CheckGroup(kTwoStages, {{kWhole}, {kWhole}, {other}, {other}}), kFailedPrecondition,
               text);
  const AgentGraphs mixed{kNoInputs, kWhole};
  const AgentGraphs first{kWhole, kWhole};
  EXPECT_ERROR(CheckGroup(kTwoStages, {first, first, mixed, mixed}), kFailedPrecondition, text);
}

TEST(GroupCheckTest, OutputsAgreeWithinEveryStage) {
  const GraphSignature other{.inputs = {}, .outputs = {kX}};
  EXPECT_ERROR(CheckGroup(kTwoStages, {{kWhole}, {kWhole}, {kNoInputs}, {other}}),
               kFailedPrecondition, "Rank 3 output infos not match rank 2");
}

TEST(GroupCheckTest, SaysWhetherAllStagesTakeInputs) {
  EXPECT_FALSE(AllStagesTakeInputs(kTwoStages, {{kWhole}, {kWhole}, {kNoInputs}, {kNoInputs}}));
  EXPECT_TRUE(AllStagesTakeInputs(kTwoStages, {{kWhole}, {kWhole}, {kWhole}, {kWhole}}));
}

TEST(GroupCheckTest, BatchSizeIsTheFirstDimensionOfAll) {
  EXPECT_EQ(*BatchSizeOf(kOneStage, kWhole), 4);
  EXPECT_EQ(*BatchSizeOf(kTwoStages, kWhole), 1);
  const TensorInfo weights{"w", DataType::kFloat32, {7, 2}};
  const GraphSignature graph{.inputs = {kX, weights}, .outputs = {kY}};
  EXPECT_ERROR(BatchSizeOf(kOneStage, graph), kFailedPrecondition,
               "Servable batch size 4 not match model input shape [7,2]");
  GroupShape shape = kOneStage;
  shape.without_batch_dim_inputs = {1};
  EXPECT_EQ(*BatchSizeOf(shape, graph), 4);
}

TEST(GroupCheckTest, BatchSizeCannotBeZero) {
  const GraphSignature scalar{.inputs = {{"x", DataType::kInt32, {}}}, .outputs = {kY}};
  EXPECT_ERROR(BatchSizeOf(kOneStage, scalar), kFailedPrecondition,
               "Servable batch size cannot be 0");
  EXPECT_EQ(*BatchSizeOf(kOneStage, {}), 0);
}

TEST(GroupCheckTest, BatchSizesAgreeAmongGraphs) {
  const TensorInfo eight{"x", DataType::kFloat32, {8, 2}};
  const GraphSignature other{.inputs = {eight}, .outputs = {eight}};
  EXPECT_ERROR(CheckGroup(kOneStage, {{kWhole, other}, {kWhole, other}}), kFailedPrecondition,
               "Expect batch size to be same");
}

TEST(GroupCheckTest, DevicesOfAllRanksAreAlike) {
  const DeviceTraits cpu, strict{"ascend", "strict", false}, hf32{"ascend", "hf32", false},
      deterministic{"ascend", "strict", true};
  EXPECT_OK(CheckDevices({std::nullopt, std::nullopt}));
  EXPECT_OK(CheckDevices({std::nullopt, strict, strict}));
  EXPECT_ERROR(CheckDevices({std::nullopt, cpu, cpu, strict}), kFailedPrecondition,
               "Rank 3 device not match rank 1, details: (ascend, precision strict) and (cpu)");
  EXPECT_ERROR(CheckDevices({hf32, strict}), kFailedPrecondition,
               "Rank 1 device not match rank 0, details: (ascend, precision strict) and (ascend, "
               "precision hf32)");
  EXPECT_ERROR(CheckDevices({strict, deterministic}), kFailedPrecondition,
               "(ascend, precision strict, deterministic) and (ascend, precision strict)");
}

TEST(GroupCheckTest, WhatIsSentIsReceivedInTheSameOrder) {
  const GroupShape shape{
      .rank_size = 2, .stage_size = 2, .with_batch_dim = false, .without_batch_dim_inputs = {}};
  const auto message = [](bool is_sent, int peer, int64_t tag, int64_t width) {
    return MessageInfo{is_sent, peer, tag, DataType::kFloat32, {width}};
  };
  const auto check = [&](std::vector<MessageInfo> sent, std::vector<MessageInfo> received) {
    GraphSignature first{.inputs = {kX}}, last{.outputs = {kY}};
    first.messages = std::move(sent);
    last.messages = std::move(received);
    return CheckGroup(shape, {{first}, {last}});
  };
  EXPECT_OK(check({message(true, 1, 0, 4), message(true, 1, 1, 5)},
                  {message(false, 0, 0, 4), message(false, 0, 1, 5)}));
  EXPECT_OK(check({message(true, 1, 0, -1)}, {message(false, 0, 0, 4)}));
  EXPECT_ERROR(check({message(true, 1, 0, 4)}, {}), kFailedPrecondition,
               "Rank 0 sends message 0 (float32[4]) to rank 1, which receives nothing from it, "
               "subgraph: 0");
  EXPECT_ERROR(check({}, {message(false, 0, 7, 4)}), kFailedPrecondition,
               "Rank 0 sends nothing to rank 1, which receives message 7 (float32[4])");
  EXPECT_ERROR(check({message(true, 1, 0, 4)}, {message(false, 0, 0, 5)}), kFailedPrecondition,
               "receives message 0 (float32[5])");
  EXPECT_ERROR(check({message(true, 1, 0, 4), message(true, 1, 1, 4)},
                     {message(false, 0, 1, 4), message(false, 0, 0, 4)}),
               kFailedPrecondition, "receives message 1 (float32[4])");
}

}  // namespace
}  // namespace pipeserve
