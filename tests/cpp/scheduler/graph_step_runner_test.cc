#include "scheduler/graph_step_runner.h"

#include "scheduler/fakes.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

// Graph 0 of `executor`, run as a servable like `spec` would.
Results RunGraph(FakeExecutor& executor, std::vector<Instance> instances,
                 const CallContext& context = {}, const ServableSpec& spec = NegSpec()) {
  const std::vector<GraphSignature> graphs = {executor.signature(0)};
  const Result<BatchLayout> layout = BatchLayout::Create(spec, graphs);
  if (!layout.ok()) return Results(instances.size(), layout.status());
  return GraphStepRunner(*layout, executor, 0).Run(std::move(instances), context);
}

// Fails the first call only.
std::function<Status(std::span<const Tensor>, const CallContext&)> FailFirstCall(Status error) {
  return [error, calls = 0](auto, auto&) mutable { return ++calls == 1 ? error : OkStatus(); };
}

TEST(GraphStepRunnerTest, FillsCallsPadsTheLastOneAndKeepsTheOrder) {
  auto executor = NegatingExecutor(2);
  const Results results = RunGraph(*executor, {One(1), One(2), One(3)});
  EXPECT_EQ(executor->calls, 2);
  ASSERT_EQ(results.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_OK(results[i]);
    EXPECT_EQ(ValueOf(*results[i]), -1.0f - static_cast<float>(i));
  }
}

TEST(GraphStepRunnerTest, NoInstanceIsNoCall) {
  auto executor = NegatingExecutor(2);
  EXPECT_TRUE(RunGraph(*executor, {}).empty());
  EXPECT_EQ(executor->calls, 0);
}

TEST(GraphStepRunnerTest, InstancesThatDoNotFitTakeNoPlaceInACall) {
  auto executor = NegatingExecutor(2);
  const Instance integers = {Tensor::Of<int32_t>({1}, {1})};
  const Instance two = {Tensor::Of<float>({2}, {1, 1})};
  const Results results = RunGraph(*executor, {integers, One(1), two, {}, One(2)});
  EXPECT_EQ(executor->calls, 1);
  EXPECT_ERROR(results[0], kInvalidArgument, "kMSI_Int32 not match the data type kMSI_Float32");
  EXPECT_ERROR(results[2], kInvalidArgument, "Given model input 0 size 8 not match the size 4");
  EXPECT_ERROR(results[3], kInvalidArgument, "Given model inputs size 0 less than");
  EXPECT_EQ(ValueOf(*results[1]), -1);
  EXPECT_EQ(ValueOf(*results[4]), -2);
}

TEST(GraphStepRunnerTest, AnExecutorErrorCostsThoseThatSharedTheCall) {
  auto executor = NegatingExecutor(2);
  executor->before = FailFirstCall(Unavailable("the device is gone"));
  const Results results = RunGraph(*executor, {One(1), One(2), One(3)});
  EXPECT_ERROR(results[0], kUnavailable, "the device is gone");
  EXPECT_ERROR(results[1], kUnavailable, "the device is gone");
  ASSERT_OK(results[2]);
  EXPECT_EQ(ValueOf(*results[2]), -3);
}

TEST(GraphStepRunnerTest, AWrongNumberOfOutputsCostsThoseThatSharedTheCall) {
  for (const size_t came : {0, 2}) {
    auto executor = NegatingExecutor(2);
    executor->after = [&, call = 0](std::vector<Tensor>& outputs) mutable {
      if (++call == 1) outputs.assign(came, Tensor(outputs[0]));
    };
    const Results results = RunGraph(*executor, {One(1), One(2), One(3)});
    const std::string text =
        "graph 0 gave " + std::to_string(came) + " outputs, 1 are defined in model";
    EXPECT_ERROR(results[0], kInternal, text);
    EXPECT_ERROR(results[1], kInternal, text);
    EXPECT_OK(results[2]);
  }
}

TEST(GraphStepRunnerTest, AnOutputOfAnotherBatchSizeCostsThoseThatSharedTheCall) {
  auto executor = NegatingExecutor(2);
  executor->after = [call = 0](std::vector<Tensor>& outputs) mutable {
    if (++call == 1) outputs[0] = Tensor::Of<float>({1, 1}, {1});
  };
  const Results results = RunGraph(*executor, {One(1), One(2), One(3)});
  EXPECT_ERROR(results[0], kInternal, "graph 0: output 0 is float32[1,1], wanted a batch of 2");
  EXPECT_ERROR(results[1], kInternal, "graph 0: output 0 is");
  EXPECT_OK(results[2]);
}

TEST(GraphStepRunnerTest, AfterTheDeadlineNoFurtherCallIsMade) {
  auto executor = NegatingExecutor(1);
  CallContext context;
  executor->before = [&](auto, auto&) { return context = Late(), OkStatus(); };
  const Results results = RunGraph(*executor, {One(1), One(2), One(3)}, context);
  EXPECT_EQ(executor->calls, 1);
  EXPECT_OK(results[0]);
  for (size_t i : {1, 2}) {
    EXPECT_ERROR(results[i], kDeadlineExceeded,
                 "the request's deadline passed before a call of graph 0");
  }
}

TEST(GraphStepRunnerTest, HandsTheContextToTheExecutor) {
  auto executor = NegatingExecutor(1);
  const CallContext given{Deadline::After(std::chrono::hours(1)), 7};
  executor->before = [&](auto, const CallContext& seen) {
    EXPECT_EQ(seen.deadline, given.deadline);
    EXPECT_EQ(seen.request_id, 7u);
    return OkStatus();
  };
  EXPECT_OK(RunGraph(*executor, {One(1)}, given)[0]);
  EXPECT_EQ(executor->calls, 1);
}

TEST(GraphStepRunnerTest, OnlyNeighboursWithTheSameUnbatchedInputShareACall) {
  const TensorInfo x{"x", DataType::kFloat32, {2, 1}}, w{"w", DataType::kFloat32, {1}};
  FakeExecutor executor({{{x, w}, {x}}});
  ServableSpec spec = NegSpec();
  spec.without_batch_dim_inputs = {1};
  std::vector<float> weights;
  executor.before = [&](std::span<const Tensor> inputs, auto&) {
    weights.push_back(*inputs[1].data_as<float>());
    return OkStatus();
  };
  const auto with = [](float x_value, float weight) {
    return Instance{One(x_value)[0], One(weight)[0]};
  };
  const Results results =
      RunGraph(executor, {with(1, 5), with(2, 5), with(3, 5), with(4, 6)}, {}, spec);
  EXPECT_EQ(weights, (std::vector<float>{5, 5, 6}));
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(ValueOf(*results[i]), -1.0f - static_cast<float>(i));
}

TEST(GraphStepRunnerTest, WithoutABatchDimensionAWholeTensorIsOneInstance) {
  auto executor = NegatingExecutor(2);
  ServableSpec spec = NegSpec();
  spec.with_batch_dim = false;
  const Instance whole = {Tensor::Of<float>({2, 1}, {1, 2})};
  const Results results = RunGraph(*executor, {whole, whole}, {}, spec);
  EXPECT_EQ(executor->calls, 2);
  for (const auto& result : results) {
    ASSERT_OK(result);
    EXPECT_EQ((*result)[0].shape(), (Shape{2, 1}));
    EXPECT_EQ((*result)[0].data_as<float>()[1], -2);
  }
}

class HostLockTest : public ::testing::Test {
 protected:
  // Calls the graph `count` times and returns in how many of them the lock was held.
  int CallsThatHoldTheLock(int count, Duration each) {
    int held = 0;
    executor_->before = [&](auto, auto&) {
      clock_.Advance(each);
      held += lock_.held;
      return OkStatus();
    };
    const std::vector<GraphSignature> graphs = {executor_->signature(0)};
    const auto layout = BatchLayout::Create(NegSpec(), graphs);
    const GraphStepRunner runner(*layout, *executor_, 0, clock_);
    for (int i = 0; i < count; ++i) {
      EXPECT_OK(runner.Run({One(1)}, {.host_lock = &lock_})[0]);
      EXPECT_TRUE(lock_.held);
    }
    EXPECT_EQ(held + lock_.releases, count);
    return held;
  }

  const std::shared_ptr<FakeExecutor> executor_ = NegatingExecutor();
  FakeHostLock lock_;
  FakeClock clock_;
};

TEST_F(HostLockTest, IsGivenUpUntilAGraphIsKnownToBeQuick) {
  executor_->runs_alone = true;
  const int held = CallsThatHoldTheLock(100, CallPace::kBrief / 2);
  EXPECT_GT(held, 50);
  EXPECT_LT(held, 100);
}

TEST_F(HostLockTest, IsGivenUpForAGraphThatTakesItsTime) {
  executor_->runs_alone = true;
  EXPECT_EQ(CallsThatHoldTheLock(100, CallPace::kBrief), 0);
}

TEST_F(HostLockTest, IsAlwaysGivenUpForAnExecutorThatMayWait) {
  EXPECT_EQ(CallsThatHoldTheLock(100, Duration::zero()), 0);
}

}  // namespace
}  // namespace pipeserve
