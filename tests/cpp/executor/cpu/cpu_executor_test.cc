#include "executor/cpu/cpu_executor.h"

#include <array>
#include <thread>

#include "executor/executor_contract.h"
#include "executor/local_communicator.h"

namespace pipeserve {
namespace {

std::vector<Graph> One(Graph graph) {
  std::vector<Graph> graphs;
  graphs.push_back(std::move(graph));
  return graphs;
}

ExecutorFactory Factory(std::string name, int threads) {
  return {std::move(name),
          [threads](std::vector<Graph> graphs) -> Result<std::unique_ptr<Executor>> {
            PIPESERVE_ASSIGN_OR_RETURN(
                std::unique_ptr<Executor> executor,
                CpuExecutor::Create(std::move(graphs), CpuExecutorOptions{threads, nullptr, 1}));
            return executor;
          }};
}

INSTANTIATE_TEST_SUITE_P(Cpu, ExecutorContractTest,
                         testing::Values(Factory("OneThread", 1), Factory("TwoThreads", 2)),
                         [](const auto& info) { return info.param.name; });

Graph AllReduceGraph() {
  TestGraph graph;
  const ValueId x = graph.Input({2});
  return graph.Return({graph.Node(OpType::kAllReduce, {x}, {2}, CollectiveAttributes{})});
}

TEST(CpuExecutorTest, DynamicDimensionsTakeWhatComes) {
  TestGraph graph;
  const ValueId x = graph.Input({-1, 2});
  auto executor = CpuExecutor::Create(One(graph.Return({graph.Node(OpType::kNeg, {x}, {-1, 2})})));
  ASSERT_OK(executor);
  std::vector<Tensor> outputs;
  for (int64_t rows = 0; rows < 20; ++rows) {
    const std::vector<Tensor> inputs = {Tensor(DataType::kFloat32, {rows, 2})};
    ASSERT_OK((*executor)->Run(0, inputs, {}, &outputs));
    EXPECT_EQ(outputs[0].shape(), (Shape{rows, 2}));
  }
  const std::vector<Tensor> wrong = {Tensor(DataType::kFloat32, {4, 3})};
  EXPECT_ERROR((*executor)->Run(0, wrong, {}, &outputs), kInvalidArgument,
               "input in0 is float32[4,3], graph 0 wants float32[?,2]");
}

TEST(CpuExecutorTest, OutputsShareNoBytes) {
  TestGraph graph;
  const ValueId x = graph.Input({2});
  const ValueId y = graph.Node(OpType::kNeg, {x}, {2});
  auto executor = CpuExecutor::Create(One(graph.Return({x, y, y})));
  ASSERT_OK(executor);
  const std::vector<Tensor> inputs = {Tensor::Of<float>({2}, {1, 2})};
  std::vector<Tensor> outputs;
  ASSERT_OK((*executor)->Run(0, inputs, {}, &outputs));
  EXPECT_EQ(Floats(outputs[0]), (std::vector<float>{1, 2}));
  EXPECT_EQ(Floats(outputs[1]), (std::vector<float>{-1, -2}));
  EXPECT_EQ(Floats(outputs[2]), (std::vector<float>{-1, -2}));
  EXPECT_NE(outputs[0].data(), inputs[0].data());
  EXPECT_NE(outputs[1].data(), outputs[2].data());
}

TEST(CpuExecutorTest, OutputsAreComputedInThePlacesOfTheirSize) {
  TestGraph graph;
  const ValueId x = graph.Input({2});
  const ValueId y = graph.Node(OpType::kNeg, {x}, {2});
  auto executor = CpuExecutor::Create(One(graph.Return({y, x, y})));
  ASSERT_OK(executor);
  const std::vector<Tensor> inputs = {Tensor::Of<float>({2}, {1, 2})};
  const std::vector<Buffer> places = {Buffer::Allocate(8), Buffer::Allocate(8),
                                      Buffer::Allocate(16)};
  CallContext context;
  context.places = places;
  std::vector<Tensor> outputs;
  ASSERT_OK((*executor)->Run(0, inputs, context, &outputs));
  EXPECT_EQ(outputs[0].data(), places[0].data());
  EXPECT_EQ(outputs[1].data(), places[1].data());
  EXPECT_NE(outputs[2].data(), places[2].data());
  EXPECT_EQ(Floats(outputs[0]), (std::vector<float>{-1, -2}));
  EXPECT_EQ(Floats(outputs[1]), (std::vector<float>{1, 2}));
  EXPECT_EQ(Floats(outputs[2]), (std::vector<float>{-1, -2}));
}

TEST(CpuExecutorTest, CollectivesNeedACommunicator) {
  auto executor = CpuExecutor::Create(One(AllReduceGraph()), {1, nullptr, 2});
  ASSERT_OK(executor);
  const std::vector<Tensor> inputs = {Tensor::Of<float>({2}, {1, 2})};
  std::vector<Tensor> outputs;
  EXPECT_ERROR((*executor)->Run(0, inputs, {}, &outputs), kUnavailable, "group");
  ASSERT_OK((*executor)->JoinGroup(MakeLocalCommunicators(2)[0], {}, [](auto) {}));
  const CallContext context{Deadline::After(std::chrono::milliseconds(20)), 1};
  EXPECT_FALSE((*executor)->Run(0, inputs, context, &outputs).ok());  // The peer is gone.
}

// AllGather, then AllReduce of what follows from it, then Neg.
Graph TwoMeetings() {
  TestGraph graph;
  const ValueId all =
      graph.Node(OpType::kAllGather, {graph.Input({1})}, {2}, CollectiveAttributes{});
  const ValueId twice = graph.Node(OpType::kAdd, {all, all}, {2});
  const ValueId sum = graph.Node(OpType::kAllReduce, {twice}, {2}, CollectiveAttributes{});
  return graph.Return({graph.Node(OpType::kNeg, {sum}, {2})});
}

TEST(CpuExecutorTest, ARankWhoseOutputsNobodyWantsDoesWhatTheOthersNeed) {
  const auto communicators = MakeLocalCommunicators(2);
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([rank, communicator = communicators[static_cast<size_t>(rank)]] {
      const auto executor = CpuExecutor::Create(One(TwoMeetings()), {1, communicator, 2});
      ASSERT_OK(executor);
      CallContext context;
      context.outputs_wanted = rank == 1;
      for (int i = 0; i < 5; ++i) {
        const std::vector<Tensor> inputs = {Tensor::Of<float>({1}, {static_cast<float>(rank + i)})};
        std::vector<Tensor> outputs;
        ASSERT_OK((*executor)->Run(0, inputs, context, &outputs));
        ASSERT_EQ(outputs.size(), rank == 1 ? 1u : 0u);
        if (rank == 0) continue;
        EXPECT_EQ(Floats(outputs[0]), (std::vector<float>{-4.0F * i, -4.0F * (1 + i)}));
      }
    });
  }
}

TEST(CpuExecutorTest, AGraphThatMeetsNobodyIsNotComputedForNobody) {
  TestGraph graph;
  const ValueId x = graph.Input({2});
  const auto executor =
      CpuExecutor::Create(One(graph.Return({graph.Node(OpType::kNeg, {x}, {2})})));
  ASSERT_OK(executor);
  CallContext context;
  context.outputs_wanted = false;
  std::vector<Tensor> outputs;
  EXPECT_EQ((*executor)->Run(0, {}, context, &outputs).code(), StatusCode::kInvalidArgument);
  const std::vector<Tensor> inputs = {Tensor::Of<float>({2}, {1, 2})};
  EXPECT_OK((*executor)->Run(0, inputs, context, &outputs));
  EXPECT_TRUE(outputs.empty());
}

TEST(CpuExecutorTest, RefusesBadOptionsAndDataTypesWithoutKernel) {
  EXPECT_ERROR(CpuExecutor::Create({}, {0, nullptr, 1}), kInvalidArgument, "threads is 0");
  TestGraph graph;
  const ValueId x = graph.Input({2}, DataType::kInt8);
  const auto refused = CpuExecutor::Create(One(graph.Return({graph.Node(OpType::kNeg, {x}, {2})})));
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(refused.status().message(), testing::HasSubstr("int8"));
}

// Two stages: rank 0 sends -x, and rank 1 returns the same again.
std::array<Graph, 2> TwoStages() {
  const MessageAttributes to_last{.tag = 3, .peer = 1, .group = {"hccl_world_group", {}, 0}};
  MessageAttributes from_first = to_last;
  from_first.peer = 0;
  from_first.dtype = DataType::kFloat32;
  from_first.shape = {2};
  Graph first, last;
  first.name = last.name = "staged";
  const ValueId x = first.AddValue({"x", DataType::kFloat32, {2}});
  const ValueId minus = first.AddValue({"minus", DataType::kFloat32, {2}});
  first.nodes = {{OpType::kNeg, "neg", {x}, {minus}, {}},
                 {OpType::kSend, "send", {minus}, {}, to_last}};
  first.inputs = {x};
  const ValueId came = last.AddValue({"came", DataType::kFloat32, {2}});
  const ValueId y = last.AddValue({"y", DataType::kFloat32, {2}});
  last.nodes = {{OpType::kReceive, "receive", {}, {came}, from_first},
                {OpType::kNeg, "neg", {came}, {y}, {}}};
  last.outputs = {y};
  return {first, last};
}

class CpuStagesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto group = MakeLocalCommunicators(2);
    auto graphs = TwoStages();
    for (size_t rank = 0; rank < 2; ++rank) {
      auto made = CpuExecutor::Create(One(std::move(graphs[rank])), {1, group[rank], 2});
      ASSERT_OK(made);
      stages_[rank] = *std::move(made);
    }
  }

  Status RunFirst(float x) {
    const std::vector<Tensor> inputs = {Tensor::Of<float>({2}, {x, x})};
    std::vector<Tensor> outputs;
    return stages_[0]->Run(0, inputs, {.outputs_wanted = false}, &outputs);
  }

  std::array<std::unique_ptr<CpuExecutor>, 2> stages_;
};

// One thread runs both, so that the first stage cannot have waited for the last.
TEST_F(CpuStagesTest, AStageRunsSeveralCallsBeforeTheNextBegins) {
  for (const float x : {1.0F, 2.0F, 3.0F}) ASSERT_OK(RunFirst(x));
  for (const float x : {1.0F, 2.0F, 3.0F}) {
    std::vector<Tensor> outputs;
    ASSERT_OK(stages_[1]->Run(0, {}, {}, &outputs));
    EXPECT_EQ(outputs.at(0).data_as<float>()[1], x);
  }
}

TEST_F(CpuStagesTest, ARankWhoseOutputsNobodyWantsTakesItsMessageAllTheSame) {
  for (const float x : {1.0F, 2.0F}) ASSERT_OK(RunFirst(x));
  std::vector<Tensor> outputs;
  ASSERT_OK(stages_[1]->Run(0, {}, {.outputs_wanted = false}, &outputs));
  ASSERT_OK(stages_[1]->Run(0, {}, {}, &outputs));
  EXPECT_EQ(outputs.at(0).data_as<float>()[1], 2.0F);
}

// Its peer waits for a message, so that it must not pass for one that every rank finds.
TEST_F(CpuStagesTest, AWrongInputIsAnErrorOfTheRank) {
  std::vector<Tensor> outputs;
  EXPECT_ERROR(stages_[0]->Run(0, {}, {}, &outputs), kFailedPrecondition, "inputs");
}

TEST(CpuExecutorTest, GraphsWithMessagesBelongToAGroup) {
  EXPECT_ERROR(CpuExecutor::Create(One(TwoStages()[0])), kInvalidArgument,
               "message 3 names rank 1 of 1 ranks");
}

}  // namespace
}  // namespace pipeserve
