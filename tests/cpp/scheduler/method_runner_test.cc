#include "scheduler/method_runner.h"

#include <stdexcept>

#include "scheduler/fakes.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

// Method "neg" of servable "fake", with its preprocess and postprocess where given:
// x -> preprocess -> graph 0 -> postprocess -> y, and x itself as second output.
MethodSpec Method(std::shared_ptr<HostFunction> preprocess,
                  std::shared_ptr<HostFunction> postprocess) {
  MethodSpec method = NegSpec().methods[0];
  DataSource last{Phase::kInput, 0};
  if (preprocess != nullptr) {
    method.preprocess = {std::move(preprocess), {last}, 1};
    last = {Phase::kPreprocess, 0};
  }
  method.graph.inputs = {last};
  last = {Phase::kPredict, 0};
  if (postprocess != nullptr) {
    method.postprocess = {std::move(postprocess), {last}, 1};
    last = {Phase::kPostprocess, 0};
  }
  method.output_names = {"y", "x"};
  method.outputs = {last, {Phase::kInput, 0}};
  return method;
}

Results RunOn(FakeExecutor& executor, const MethodSpec& method, std::vector<Instance> instances,
              const CallContext& context = {}) {
  const std::vector<GraphSignature> graphs = {executor.signature(0)};
  const Result<BatchLayout> layout = BatchLayout::Create(NegSpec(), graphs);
  if (!layout.ok()) return Results(instances.size(), layout.status());
  return MethodRunner("fake", method, *layout, executor).Run(std::move(instances), context);
}

std::shared_ptr<HostFunction> TenTimes() {
  return PerInstance([](const Instance& x) { return One(ValueOf(x) * 10); });
}

// Counts the instances that reach it.
std::shared_ptr<HostFunction> Counting(int& seen) {
  return PerInstance([&seen](const Instance& x) { return ++seen, x; });
}

// Says that it takes the host's lock.
class LockingFunction final : public HostFunction {
 public:
  explicit LockingFunction(std::shared_ptr<HostFunction> function)
      : function_(std::move(function)) {}
  const std::string& name() const override { return function_->name(); }
  bool takes_host_lock() const override { return true; }
  Results Call(std::span<const Instance> instances) override { return function_->Call(instances); }

 private:
  const std::shared_ptr<HostFunction> function_;
};

TEST(MethodRunnerTest, RunsThePhasesOneAfterTheOther) {
  auto executor = NegatingExecutor(2);
  const auto plus_one = PerInstance([](const Instance& x) { return One(ValueOf(x) + 1); });
  const Results results = RunOn(*executor, Method(TenTimes(), plus_one), {One(1), One(2), One(3)});
  ASSERT_EQ(results.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const auto x = static_cast<float>(i + 1);
    ASSERT_OK(results[i]);
    EXPECT_EQ(ValueOf(*results[i]), -10 * x + 1);
    EXPECT_EQ(*(*results[i])[1].data_as<float>(), x);
  }
  EXPECT_EQ(executor->calls, 2);
}

TEST(MethodRunnerTest, AHostFunctionGetsAllInstancesInOneCall) {
  std::vector<size_t> sizes;
  const auto whole = std::make_shared<FakeFunction>([&](std::span<const Instance> instances) {
    sizes.push_back(instances.size());
    return Results(instances.begin(), instances.end());
  });
  auto executor = NegatingExecutor();
  RunOn(*executor, Method(whole, whole), {One(1), One(2), One(3)});
  EXPECT_EQ(sizes, (std::vector<size_t>{3, 3}));
}

TEST(MethodRunnerTest, AFailedPreprocessEndsItsInstanceAlone) {
  int postprocessed = 0;
  auto executor = NegatingExecutor();
  const auto preprocess = PerInstance([](const Instance& x) -> Result<Instance> {
    if (ValueOf(x) == 2) return InvalidArgument("no twos");
    if (ValueOf(x) == 3) return Instance{};
    return x;
  });
  const Results results = RunOn(*executor, Method(preprocess, Counting(postprocessed)),
                                {One(1), One(2), One(3), One(4)});
  EXPECT_EQ(ValueOf(*results[0]), -1);
  EXPECT_ERROR(results[1], kInvalidArgument, "Preprocess Failed: no twos");
  EXPECT_ERROR(results[2], kInternal, "Preprocess Failed: fake returned 0 values, 1 are declared");
  EXPECT_EQ(ValueOf(*results[3]), -4);
  EXPECT_EQ(executor->calls, 2);
  EXPECT_EQ(postprocessed, 2);
}

TEST(MethodRunnerTest, AFailedPostprocessCostsItsInstanceAlone) {
  auto executor = NegatingExecutor();
  const auto postprocess = PerInstance([](const Instance& y) -> Result<Instance> {
    if (ValueOf(y) == -2) return NotFound("no such token");
    if (ValueOf(y) == -3) return Instance{y[0], y[0]};
    return y;
  });
  const Results results =
      RunOn(*executor, Method(nullptr, postprocess), {One(1), One(2), One(3), One(4)});
  EXPECT_EQ(ValueOf(*results[0]), -1);
  EXPECT_ERROR(results[1], kNotFound, "Postprocess Failed: no such token");
  EXPECT_ERROR(results[2], kInternal, "Postprocess Failed: fake returned 2 values, 1 are declared");
  EXPECT_EQ(ValueOf(*results[3]), -4);
}

TEST(MethodRunnerTest, AnExceptionOfAPostprocessIsAnError) {
  auto executor = NegatingExecutor();
  const auto postprocess =
      std::make_shared<FakeFunction>([](auto) -> Results { throw std::runtime_error("boom"); });
  const Results results = RunOn(*executor, Method(nullptr, postprocess), {One(1), One(2)});
  for (const auto& result : results) EXPECT_ERROR(result, kInternal, "Postprocess Failed: boom");
}

TEST(MethodRunnerTest, TooFewResultsOfAPhaseGoToTheFirstInstances) {
  const auto only_first = std::make_shared<FakeFunction>(
      [](std::span<const Instance> instances) { return Results{instances[0]}; });
  auto executor = NegatingExecutor();
  Results results = RunOn(*executor, Method(only_first, nullptr), {One(1), One(2)});
  EXPECT_EQ(ValueOf(*results[0]), -1);
  EXPECT_ERROR(results[1], kInternal, "Preprocess Failed: fake gave 1 results for 2 instances");
  results = RunOn(*executor, Method(nullptr, only_first), {One(1), One(2)});
  EXPECT_EQ(ValueOf(*results[0]), -1);
  EXPECT_ERROR(results[1], kInternal, "Postprocess Failed: fake gave 1 results for 2 instances");
}

TEST(MethodRunnerTest, TooManyResultsOfAPhaseDoNoHarm) {
  const auto one_more = std::make_shared<FakeFunction>([](std::span<const Instance> instances) {
    Results results(instances.begin(), instances.end());
    results.push_back(One(99));
    return results;
  });
  auto executor = NegatingExecutor(2);
  const Results results = RunOn(*executor, Method(one_more, one_more), {One(1), One(2)});
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(ValueOf(*results[0]), -1);
  EXPECT_EQ(ValueOf(*results[1]), -2);
  EXPECT_EQ(executor->calls, 1);
}

TEST(MethodRunnerTest, AnExecutorErrorNamesTheMethodAndSkipsThePostprocess) {
  int postprocessed = 0;
  auto executor = NegatingExecutor(2);
  executor->before = [calls = 0](auto, auto&) mutable {
    return ++calls == 1 ? Unavailable("the device is gone") : OkStatus();
  };
  const Results results =
      RunOn(*executor, Method(nullptr, Counting(postprocessed)), {One(1), One(2), One(3)});
  EXPECT_ERROR(results[0], kUnavailable, "fake.neg: the device is gone");
  EXPECT_ERROR(results[1], kUnavailable, "fake.neg: the device is gone");
  ASSERT_OK(results[2]);
  EXPECT_EQ(ValueOf(*results[2]), -3);
  EXPECT_EQ(postprocessed, 1);
}

TEST(MethodRunnerTest, AWrongNumberOfValuesNeverReachesAHostFunction) {
  int preprocessed = 0;
  auto executor = NegatingExecutor();
  Results results = RunOn(*executor, Method(Counting(preprocessed), nullptr), {{}, One(2)});
  EXPECT_ERROR(results[0], kInvalidArgument,
               "Input count 0 does not equal to input count 1 defined in method neg");
  EXPECT_EQ(ValueOf(*results[1]), -2);
  EXPECT_EQ(preprocessed, 1);
  results = RunOn(*executor, Method(Counting(preprocessed), nullptr), {{}});
  EXPECT_EQ(preprocessed, 1);
  EXPECT_EQ(executor->calls, 1);
}

TEST(MethodRunnerTest, AFunctionThatDoesNotTakeTheHostLockRunsWithoutIt) {
  auto executor = NegatingExecutor();
  FakeHostLock lock;
  const auto note = [&lock](bool& held) {
    return PerInstance([&](const Instance& x) { return held = lock.held, x; });
  };
  bool before = true, after = false;
  const auto takes_it = std::make_shared<LockingFunction>(note(after));
  const Results results =
      RunOn(*executor, Method(note(before), takes_it), {One(1)}, {.host_lock = &lock});
  ASSERT_OK(results[0]);
  EXPECT_FALSE(before);
  EXPECT_TRUE(after);
  EXPECT_TRUE(lock.held);
}

}  // namespace
}  // namespace pipeserve
