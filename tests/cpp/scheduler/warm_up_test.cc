#include "scheduler/warm_up.h"

#include <gmock/gmock.h>

#include "scheduler/fakes.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const GraphSignature kTwoByThree{{{"x", DataType::kFloat32, Shape{2, 3}}},
                                 {{"y", DataType::kFloat32, Shape{2, 3}}}};
const GraphSignature kUnknownSize{{{"x", DataType::kFloat32, Shape{Shape::kUnknownDim, 3}}},
                                  {{"y", DataType::kFloat32, Shape{2, 3}}}};

Status Warm(const ServableSpec& spec, Executor& executor, bool runs_graphs = true) {
  const WarmUp warm_up(spec, executor, runs_graphs);
  return warm_up.Run({Instance{}}, {}).front().status();
}

TEST(WarmUpTest, RunsEveryGraphOfKnownSizesOnceOnZeros) {
  FakeExecutor executor({kTwoByThree, kUnknownSize, kTwoByThree});
  executor.before = [](std::span<const Tensor> inputs, const CallContext&) {
    const float* const values = inputs[0].data_as<float>();
    EXPECT_EQ(inputs[0].shape(), (Shape{2, 3}));
    EXPECT_THAT(std::vector<float>(values, values + 6), Each(0.0f));
    return OkStatus();
  };
  EXPECT_OK(Warm({}, executor));
  EXPECT_EQ(executor.calls, 2);
  EXPECT_OK(Warm({}, executor, /*runs_graphs=*/false));
  EXPECT_EQ(executor.calls, 2);
}

TEST(WarmUpTest, AGraphThatDoesNotTakeZerosIsNoReasonToRefuseTheServable) {
  FakeExecutor executor({kTwoByThree, kTwoByThree});
  executor.before = [](std::span<const Tensor>, const CallContext&) {
    return InvalidArgument("zero");
  };
  EXPECT_OK(Warm({}, executor));
  EXPECT_EQ(executor.calls, 2);
}

TEST(WarmUpTest, ItsFunctionIsCalledOnceAfterTheGraphsAndMayRefuse) {
  FakeExecutor executor({kTwoByThree});
  std::vector<int> calls_before;
  Result<Instance> answer = Instance{};
  ServableSpec spec;
  spec.warm_up = MakeHostFunction("warm_up", [&](const Instance& instance) {
    EXPECT_THAT(instance, IsEmpty());
    calls_before.push_back(executor.calls);
    return answer;
  });
  EXPECT_OK(Warm(spec, executor));
  answer = FailedPrecondition("the answers are wrong");
  EXPECT_EQ(Warm(spec, executor), FailedPrecondition("Warm-up failed: the answers are wrong"));
  EXPECT_THAT(calls_before, ElementsAre(1, 2));
}

}  // namespace
}  // namespace pipeserve
