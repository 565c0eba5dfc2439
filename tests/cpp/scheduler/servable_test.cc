#include "scheduler/servable.h"

#include <array>
#include <atomic>
#include <stdexcept>
#include <thread>

#include "scheduler/fakes.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using Results = std::vector<Result<Instance>>;

std::unique_ptr<Servable> Make(ServableSpec spec, std::shared_ptr<Executor> executor,
                               SchedulerOptions options = {}) {
  auto servable = Servable::Create(std::move(spec), std::move(executor), options);
  EXPECT_OK(servable);
  return *std::move(servable);
}

// The answers of one request; counts how often it was answered.
struct Answer {
  Gate answered;
  std::atomic<int> count{0};
  Results results;

  Servable::Done Done() {
    answered.Open();
    return [this](Results given) {
      results = std::move(given);
      ++count;
      answered.Pass();
    };
  }
  bool Wait() { return answered.WaitForArrivals(1); }
};

ServableSpec WithPipeline(std::shared_ptr<HostFunction> function) {
  ServableSpec spec = NegSpec();
  spec.pipelines = {{"predict", {"x"}, {"y"}, std::move(function)}};
  return spec;
}

TEST(ServableTest, ShortBatchesArePaddedAndSlicedBack) {
  auto executor = NegatingExecutor(2);
  auto servable = Make(NegSpec(), executor);
  const auto results = servable->RunMethod("neg", {One(1), One(2), One(3)});
  ASSERT_OK(results);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(ValueOf(*(*results)[i]), -1.0f - static_cast<float>(i));
  EXPECT_EQ(executor->calls, 2);
}

TEST(ServableTest, EachInstanceHasItsOwnError) {
  ServableSpec spec = NegSpec();
  MethodSpec& method = spec.methods[0];
  method.preprocess = {PerInstance([](const Instance& x) -> Result<Instance> {
                         if (ValueOf(x) == 2) return InvalidArgument("no twos");
                         if (ValueOf(x) == 3) return Instance{};
                         return One(ValueOf(x) * 10);
                       }),
                       {{Phase::kInput, 0}},
                       1};
  method.graph.inputs = {{Phase::kPreprocess, 0}};
  method.outputs = {{Phase::kInput, 0}, {Phase::kPredict, 0}};
  method.output_names = {"x", "y"};
  auto servable = Make(std::move(spec), NegatingExecutor());
  const auto results = servable->RunMethod("neg", {One(1), One(2), One(3), {}, One(5)});
  ASSERT_OK(results);
  ASSERT_OK((*results)[0]);
  EXPECT_EQ(ValueOf(*(*results)[0]), 1);
  EXPECT_EQ(*(*(*results)[4])[1].data_as<float>(), -50);
  EXPECT_ERROR((*results)[1], kInvalidArgument, "Preprocess Failed: no twos");
  EXPECT_ERROR((*results)[2], kInternal, "fake returned 0 values, 1 are declared");
  EXPECT_ERROR((*results)[3], kInvalidArgument,
               "Input count 0 does not equal to input count 1 defined in method neg");
}

TEST(ServableTest, RunMethodRefusesWhatItCannotRun) {
  auto servable =
      Make(WithPipeline(PerInstance([](const Instance& x) { return x; })), NegatingExecutor());
  EXPECT_ERROR(servable->RunMethod("predict", {One(1)}), kNotFound, "Not support method predict");
  EXPECT_ERROR(servable->RunMethod("neg", {}), kInvalidArgument, "Inputs cannot be empty");
  const auto results = servable->RunMethod("neg", {{Tensor::Of<int32_t>({1}, {1})}});
  EXPECT_ERROR((*results)[0], kInvalidArgument, "kMSI_Int32 not match the data type kMSI_Float32");
  EXPECT_EQ(servable->FindCallable("neg"), nullptr);
  EXPECT_NE(servable->FindCallable("predict"), nullptr);
}

TEST(ServableTest, PipelineCallsMethodsAndFailsAlone) {
  Servable* self = nullptr;
  auto servable = Make(WithPipeline(PerInstance([&](const Instance& x) -> Result<Instance> {
                         if (ValueOf(x) == 2) throw std::runtime_error("boom");
                         return (*self->RunMethod("neg", {x}))[0];
                       })),
                       NegatingExecutor());
  self = servable.get();
  Answer answer;
  servable->Submit("predict", {One(1), One(2), One(3)}, {}, answer.Done());
  ASSERT_TRUE(answer.Wait());
  EXPECT_EQ(ValueOf(*answer.results[0]), -1);
  EXPECT_ERROR(answer.results[1], kInternal, "Pipeline Failed: boom");
  EXPECT_EQ(ValueOf(*answer.results[2]), -3);
}

TEST(ServableTest, MaxInflightRequestsOverlapAndOneMoreThanTheQueueIsRefused) {
  Gate gate;
  auto executor = NegatingExecutor();
  executor->before = [&](auto) { return gate.Pass(), OkStatus(); };
  auto servable = Make(NegSpec(), executor, {.max_inflight = 3, .queue_capacity = 3});
  std::array<Answer, 6> answers;
  for (int i = 0; i < 3; ++i) servable->Submit("neg", {One(1)}, {}, answers[i].Done());
  ASSERT_TRUE(gate.WaitForArrivals(3));
  const CallContext late{Deadline(TimePoint(Duration(1))), 0};
  servable->Submit("neg", {One(2)}, late, answers[3].Done());
  servable->Submit("neg", {One(2)}, {}, answers[4].Done());
  servable->Submit("neg", {One(2)}, {}, answers[5].Done());
  Answer refused;
  servable->Submit("neg", {One(2)}, {}, refused.Done());
  EXPECT_EQ(refused.count, 1);
  EXPECT_ERROR(refused.results[0], kResourceExhausted, "exceeds the limit 3");
  gate.Open();
  for (Answer& answer : answers) ASSERT_TRUE(answer.Wait());
  EXPECT_ERROR(answers[3].results[0], kDeadlineExceeded, "while it waited");
  EXPECT_OK(answers[4].results[0]);
  EXPECT_EQ(executor->calls, 5);
}

TEST(ServableTest, StopAnswersWhatWaitsAndFinishesWhatRuns) {
  Gate gate;
  auto executor = NegatingExecutor();
  executor->before = [&](auto) { return gate.Pass(), OkStatus(); };
  auto servable = Make(NegSpec(), executor, {.max_inflight = 1});
  Answer running, waiting, refused, empty;
  servable->Submit("neg", {One(1)}, {}, running.Done());
  ASSERT_TRUE(gate.WaitForArrivals(1));
  servable->Submit("neg", {One(2)}, {}, waiting.Done());
  std::jthread first([&] { servable->Stop(); }), second([&] { servable->Stop(); });
  ASSERT_TRUE(waiting.Wait());
  EXPECT_ERROR(waiting.results[0], kUnavailable, "servable is not available");
  gate.Open();
  first.join();
  second.join();
  EXPECT_EQ(running.count, 1);
  EXPECT_OK(running.results[0]);
  servable->Submit("neg", {One(3)}, {}, refused.Done());
  EXPECT_ERROR(refused.results[0], kUnavailable, "servable is not available");
  EXPECT_ERROR(servable->RunMethod("neg", {One(3)}), kUnavailable, "servable is not available");
  servable->Submit("neg", {}, {}, empty.Done());
  EXPECT_EQ(empty.count, 1);
}

TEST(ServableTest, EveryRequestOfManyThreadsIsAnsweredOnceAndRight) {
  constexpr int kThreads = 4, kEach = 500;
  std::vector<std::atomic<int>> answered(kThreads * kEach);
  std::atomic<int> wrong{0};
  auto servable = Make(NegSpec(), NegatingExecutor(), {.max_inflight = 3});
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = t * kEach; i < (t + 1) * kEach; ++i) {
          servable->Submit("neg", {One(static_cast<float>(i))}, {}, [&, i](Results results) {
            ++answered[static_cast<size_t>(i)];
            const bool refused = results[0].status().code() == StatusCode::kUnavailable;
            if (!refused && ValueOf(*results[0]) != -static_cast<float>(i)) ++wrong;
          });
        }
        if (t == 0) servable->Stop();
      });
    }
  }
  for (const auto& count : answered) EXPECT_EQ(count, 1);
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace pipeserve
