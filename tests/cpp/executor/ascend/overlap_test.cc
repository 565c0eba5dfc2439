// Two calls on a device at a time: the one is copied while the other computes.
#include <array>
#include <deque>
#include <filesystem>
#include <thread>

#include "executor/ascend/ascend_executor.h"
#include "executor/ascend/simulated_runtime.h"
#include "graph/model_file.h"
#include "support/fixture_values.h"
#include "support/graphs.h"
#include "support/matchers.h"

namespace pipeserve::ascend {
namespace {

Result<std::unique_ptr<AscendExecutor>> Load(Graph graph, bool overlap,
                                             const std::string& layout = "lib64") {
  AscendExecutorOptions options;
  options.library = SimulatedRuntime::Library(layout);
  options.call_limit = std::chrono::seconds(5);
  options.overlap = overlap;
  std::vector<AscendModel> models;
  models.emplace_back(std::move(graph));
  return AscendExecutor::Create(std::move(models), options);
}

// -x for x float32[n], n known or not.
Graph NegGraph(int64_t n = 2) {
  TestGraph graph;
  return graph.Return({graph.Node(OpType::kNeg, {graph.Input({n})}, {n})});
}

const Tensor kX = Tensor::Of<float>({2}, {1, 2});
const Tensor kY = Tensor::Of<float>({2}, {3, 4});
const Tensor kTooLong = Tensor::Of<float>({3}, {1, 2, 3});

class OverlapTest : public testing::Test {
 protected:
  using Call = std::unique_ptr<CallPipeline::Call>;

  void SetUp() override { Load(NegGraph()); }
  void Load(Graph graph) {
    executor_.reset();
    auto executor = ascend::Load(std::move(graph), /*overlap=*/true);
    ASSERT_OK(executor);
    executor_ = *std::move(executor);
    ASSERT_NE(executor_->pipeline(), nullptr);
  }
  Result<Call> Begin(const Tensor& x) {
    return executor_->pipeline()->Begin(0, std::span(&x, 1), {});
  }
  void ExpectFloats(const Result<Call>& call, const std::vector<float>& wanted) {
    ASSERT_OK(call);
    std::vector<Tensor> outputs;
    ASSERT_OK((*call)->Finish(&outputs));
    EXPECT_EQ(Floats(outputs.at(0)), wanted);
  }
  // Whether the device gets to so many tasks.
  bool AwaitTasks(int count) const {
    const Deadline deadline = Deadline::After(std::chrono::seconds(10));
    while (std::stoi(runtime_.Command("tasks")) < count) {
      if (deadline.HasPassed()) return false;
      std::this_thread::yield();
    }
    return true;
  }

  SimulatedRuntime runtime_;
  std::unique_ptr<AscendExecutor> executor_;
};

TEST_F(OverlapTest, ACallIsCopiedThereWhileTheOneBeforeComputes) {
  const int tasks = std::stoi(runtime_.Command("tasks"));
  runtime_.Command("hang-task 2");  // The first is the copy.
  const Result<Call> first = Begin(kX);
  EXPECT_TRUE(AwaitTasks(tasks + 2));
  const Result<Call> second = Begin(kY);
  EXPECT_TRUE(AwaitTasks(tasks + 3)) << "the second copy waits for the first operator";
  runtime_.Command("let-go");
  ExpectFloats(first, {-1, -2});
  ExpectFloats(second, {-3, -4});
}

TEST_F(OverlapTest, ACallIsCopiedBackWhileTheNextComputes) {
  const int tasks = std::stoi(runtime_.Command("tasks"));
  runtime_.Command("hang-task 3");
  const Result<Call> first = Begin(kX);
  EXPECT_TRUE(AwaitTasks(tasks + 3));
  const Result<Call> second = Begin(kY);
  EXPECT_TRUE(AwaitTasks(tasks + 5)) << "the second operator waits for the first copy back";
  runtime_.Command("let-go");
  ExpectFloats(first, {-1, -2});
  ExpectFloats(second, {-3, -4});
}

TEST_F(OverlapTest, AThirdCallWaitsForOneOfTheTwo) {
  runtime_.Command("hang-task 2");
  Result<Call> first = Begin(kX);
  const Result<Call> second = Begin(kY);
  EXPECT_ERROR(
      executor_->pipeline()->Begin(0, std::span(&kX, 1),
                                   {.deadline = Deadline::After(std::chrono::milliseconds(1))}),
      kDeadlineExceeded, "while other calls ran");
  std::jthread finisher([&] { ExpectFloats(first, {-1, -2}); });
  runtime_.Command("let-go");
  ExpectFloats(Begin(kX), {-1, -2});
  ExpectFloats(second, {-3, -4});
}

TEST_F(OverlapTest, WhatIsWrongWithACallIsItsOwnError) {
  const Result<Call> first = Begin(kX);
  EXPECT_ERROR(Begin(kTooLong), kInvalidArgument, "input 0");
  runtime_.Command("fail aclnnNegGetWorkspaceSize 1 207001");
  runtime_.Command("fail aclnnNeg 1 207001");
  EXPECT_ERROR(Begin(kY), kResourceExhausted, "aclnnNeg");
  ExpectFloats(first, {-1, -2});
  ExpectFloats(Begin(kY), {-3, -4});
}

TEST_F(OverlapTest, ATaskThatFailsFailsItsCallAndThoseAfterIt) {
  runtime_.MayLeaveObjects();
  ExpectFloats(Begin(kX), {-1, -2});
  runtime_.Command("fail-task 2");
  const Result<Call> first = Begin(kX);
  ASSERT_OK(first);
  const Result<Call> second = Begin(kY);
  std::vector<Tensor> outputs;
  EXPECT_ERROR((*first)->Finish(&outputs), kUnavailable, "failed with");
  EXPECT_TRUE(outputs.empty());
  EXPECT_EQ((second.ok() ? (*second)->Finish(&outputs) : second.status()).code(),
            StatusCode::kUnavailable);
  EXPECT_TRUE(outputs.empty());
  EXPECT_ERROR(Begin(kX), kUnavailable, "this process must be restarted");
}

TEST_F(OverlapTest, ACallThatNobodyFinishesEndsWithItsOwner) {
  { const Result<Call> call = Begin(kX); }
  ExpectFloats(Begin(kY), {-3, -4});
}

TEST_F(OverlapTest, PlansOfManyShapesTakeTurns) {
  Load(NegGraph(Shape::kUnknownDim));
  std::deque<std::pair<Tensor, Result<Call>>> calls;
  for (int64_t n = 1; n <= 40; ++n) {  // More than plans are kept.
    if (calls.size() == 2) {
      const auto& [x, call] = calls.front();
      ExpectFloats(call, std::vector<float>(x.shape()[0], -static_cast<float>(x.shape()[0])));
      calls.pop_front();
    }
    Tensor x(DataType::kFloat32, {n});
    std::fill_n(x.mutable_data_as<float>(), n, static_cast<float>(n));
    Result<Call> call = Begin(x);
    calls.emplace_back(std::move(x), std::move(call));
  }
}

TEST(OverlapReleaseTest, WantsEventsThatCanBeRecordedAgain) {
  const SimulatedRuntime runtime;
  EXPECT_ERROR(Load(NegGraph(), true, "lib64_1.6"), kFailedPrecondition,
               "overlap with computing from ACL 1.8 on, this is 1.6");
  EXPECT_OK(Load(NegGraph(), true, "lib64_1.8"));
}

class OverlapFixturesTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { SKIP_WITHOUT_SHARED_FILES(); }
  std::vector<std::string> OutputBytes(bool overlap) {
    const SimulatedRuntime runtime("mode=random");
    auto graph = ReadMindir(SharedFile(std::string("mindir/") + GetParam()));
    EXPECT_OK(graph);
    const auto executor = Load(*std::move(graph), overlap);
    EXPECT_OK(executor);
    const auto data = StoredValues(std::filesystem::path(GetParam()).stem());
    std::vector<std::string> bytes;
    for (int i = 0; i < 3; ++i) {
      std::vector<Tensor> outputs;
      EXPECT_OK((*executor)->Run(0, Numbered(data, "in"), {}, &outputs));
      for (const Tensor& output : outputs) {
        bytes.emplace_back(static_cast<const char*>(output.data()), output.byte_size());
      }
    }
    return bytes;
  }
};

TEST_P(OverlapFixturesTest, GivesTheSameBits) {
  EXPECT_TRUE(OutputBytes(/*overlap=*/true) == OutputBytes(/*overlap=*/false));
}

INSTANTIATE_TEST_SUITE_P(Whole, OverlapFixturesTest, testing::ValuesIn(kWholeModels));

}  // namespace
}  // namespace pipeserve::ascend
