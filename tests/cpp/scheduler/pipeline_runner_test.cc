#include "scheduler/pipeline_runner.h"

#include <stdexcept>

#include "scheduler/fakes.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

PipelineSpec Predict(std::shared_ptr<HostFunction> function) {
  return {"predict", {"x"}, {"y"}, std::move(function)};
}

TEST(PipelineRunnerTest, CallsTheFunctionWithOneInstanceAtATimeInOrder) {
  std::vector<float> seen;
  std::vector<size_t> sizes;
  const PipelineSpec spec =
      Predict(std::make_shared<FakeFunction>([&](std::span<const Instance> instances) {
        seen.push_back(ValueOf(instances[0]));
        sizes.push_back(instances.size());
        return Results{One(ValueOf(instances[0]) * 2)};
      }));
  const Results results = PipelineRunner(spec).Run({One(1), One(2), One(3)}, {});
  EXPECT_EQ(seen, (std::vector<float>{1, 2, 3}));
  EXPECT_EQ(sizes, (std::vector<size_t>{1, 1, 1}));
  ASSERT_EQ(results.size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(ValueOf(*results[i]), static_cast<float>(2 * i + 2));
}

TEST(PipelineRunnerTest, AnInstanceFailsAlone) {
  const PipelineSpec spec = Predict(PerInstance([](const Instance& x) -> Result<Instance> {
    if (ValueOf(x) == 1) throw std::runtime_error("boom");
    if (ValueOf(x) == 2) return NotFound("no such token");
    if (ValueOf(x) == 3) return Instance{};
    return x;
  }));
  const Results results = PipelineRunner(spec).Run({One(1), One(2), One(3), One(4)}, {});
  EXPECT_ERROR(results[0], kInternal, "Pipeline Failed: boom");
  EXPECT_ERROR(results[1], kNotFound, "Pipeline Failed: no such token");
  EXPECT_ERROR(results[2], kInternal, "Pipeline Failed: fake returned 0 values, 1 are declared");
  ASSERT_OK(results[3]);
  EXPECT_EQ(ValueOf(*results[3]), 4);
}

TEST(PipelineRunnerTest, AWrongNumberOfValuesNeverReachesTheFunction) {
  int calls = 0;
  const PipelineSpec spec = Predict(PerInstance([&](const Instance& x) { return ++calls, x; }));
  const Results results = PipelineRunner(spec).Run({{}, One(2)}, {});
  EXPECT_ERROR(results[0], kInvalidArgument,
               "Input count 0 does not equal to input count 1 defined in method predict");
  EXPECT_OK(results[1]);
  EXPECT_EQ(calls, 1);
}

TEST(PipelineRunnerTest, AfterTheDeadlineNoFurtherInstanceIsRun) {
  int calls = 0;
  CallContext context;
  const PipelineSpec spec = Predict(PerInstance([&](const Instance& x) {
    ++calls;
    context = Late();
    return x;
  }));
  const Results results = PipelineRunner(spec).Run({One(1), One(2), One(3)}, context);
  EXPECT_OK(results[0]);
  for (size_t i : {1, 2}) {
    EXPECT_ERROR(results[i], kDeadlineExceeded,
                 "the request's deadline passed before pipeline predict was called");
  }
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace pipeserve
