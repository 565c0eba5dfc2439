#include "scheduler/servable.h"

#include <array>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "scheduler/fakes.h"
#include "scheduler/request_scope.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

std::unique_ptr<Servable> Make(ServableSpec spec, std::shared_ptr<Executor> executor,
                               SchedulerOptions options = {}) {
  auto servable = Servable::Create(std::move(spec), std::move(executor), options);
  EXPECT_OK(servable);
  return *std::move(servable);
}

ServableSpec WithPipeline(std::shared_ptr<HostFunction> function) {
  ServableSpec spec = NegSpec();
  spec.pipelines = {{"predict", {"x"}, {"y"}, std::move(function)}};
  return spec;
}

TEST(ServableTest, RefusesOptionsOutOfRange) {
  const auto create = [](SchedulerOptions options) {
    return Servable::Create(NegSpec(), NegatingExecutor(), options);
  };
  EXPECT_ERROR(create({.max_inflight = 0}), kInvalidArgument,
               "max_inflight is 0, wanted 1 to 1024");
  EXPECT_ERROR(create({.max_inflight = -1}), kInvalidArgument, "max_inflight is -1");
  EXPECT_ERROR(create({.max_inflight = 1025}), kInvalidArgument, "max_inflight is 1025");
  EXPECT_ERROR(create({.queue_capacity = 0}), kInvalidArgument,
               "queue_capacity is 0, wanted at least 1");
  EXPECT_OK(create({.max_inflight = 1, .queue_capacity = 1}));
}

TEST(ServableTest, RefusesWhatDoesNotFitTheExecutor) {
  ServableSpec spec = NegSpec();
  spec.methods[0].graph.subgraph = 1;
  EXPECT_ERROR(Servable::Create(spec, NegatingExecutor()), kInvalidArgument,
               "Total Load Graph number is 1, Method neg subgrah is 1");
  EXPECT_ERROR(Servable::Create(NegSpec(), NegatingExecutor(0)), kInvalidArgument,
               "Servable batch size cannot be 0");
}

TEST(ServableTest, PipelinesNeedNeitherMethodsNorGraphs) {
  ServableSpec spec = WithPipeline(PerInstance([](const Instance& x) { return x; }));
  spec.methods.clear();
  auto servable = Make(spec, std::make_shared<FakeExecutor>(std::vector<GraphSignature>{}));
  Answer answer;
  servable->Submit("predict", {One(1)}, {}, answer.Done());
  ASSERT_TRUE(answer.Wait());
  ASSERT_OK(answer.results[0]);
  EXPECT_EQ(ValueOf(*answer.results[0]), 1);
  EXPECT_ERROR(servable->RunMethod("neg", {One(1)}), kNotFound, "Not support method neg");
}

TEST(ServableTest, SubmitRefusesANameThatClientsMayNotCall) {
  auto servable =
      Make(WithPipeline(PerInstance([](const Instance& x) { return x; })), NegatingExecutor());
  Answer answer;
  servable->Submit("neg", {One(1), One(2)}, {}, answer.Done());
  ASSERT_EQ(answer.count, 1);
  ASSERT_EQ(answer.results.size(), 2u);
  EXPECT_ERROR(answer.results[1], kNotFound, "Not support method neg");
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
  executor->before = [&](auto, auto&) { return gate.Pass(), OkStatus(); };
  auto servable = Make(NegSpec(), executor, {.max_inflight = 3, .queue_capacity = 3});
  std::array<Answer, 6> answers;
  for (int i = 0; i < 3; ++i) servable->Submit("neg", {One(1)}, {}, answers[i].Done());
  ASSERT_TRUE(gate.WaitForArrivals(3));
  servable->Submit("neg", {One(2)}, {}, answers[3].Done());
  servable->Submit("neg", {One(2)}, {}, answers[4].Done());
  servable->Submit("neg", {One(2)}, {}, answers[5].Done());
  Answer refused;
  servable->Submit("neg", {One(2)}, {}, refused.Done());
  EXPECT_EQ(refused.count, 1);
  EXPECT_ERROR(refused.results[0], kResourceExhausted, "exceeds the limit 3");
  gate.Open();
  for (Answer& answer : answers) ASSERT_TRUE(answer.Wait());
  for (const Answer& answer : answers) EXPECT_OK(answer.results[0]);
  EXPECT_EQ(executor->calls, 6);
}

// Two graphs, each behind a gate.
class GatedExecutor final : public FakeExecutor {
 public:
  GatedExecutor() : FakeExecutor({kGraph, kGraph}) {}
  Status Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs) override {
    gates[static_cast<size_t>(graph)].Pass();
    return FakeExecutor::Run(graph, inputs, context, outputs);
  }

  std::array<Gate, 2> gates;

 private:
  inline static const TensorInfo kX{"x", DataType::kFloat32, {1, 1}};
  inline static const GraphSignature kGraph{{kX}, {kX}};
};

TEST(ServableTest, WhileOneRequestIsInALaterGraphAnotherRunsTheFirst) {
  const auto executor = std::make_shared<GatedExecutor>();
  std::unique_ptr<Servable> servable;
  ServableSpec spec = WithPipeline(PerInstance([&](const Instance& x) -> Result<Instance> {
    Instance value = x;
    for (const char* method : {"neg", "last"}) {
      PIPESERVE_ASSIGN_OR_RETURN(const Results results, servable->RunMethod(method, {value}));
      if (!results[0].ok()) return results[0].status();
      value = *results[0];
    }
    return value;
  }));
  spec.methods.push_back(spec.methods[0]);
  spec.methods[1].name = "last";
  spec.methods[1].graph.subgraph = 1;
  servable = Make(spec, executor, {.max_inflight = 2});
  auto& [first, last] = executor->gates;
  first.Open();

  Answer one, other;
  servable->Submit("predict", {One(1)}, {}, one.Done());
  ASSERT_TRUE(last.WaitForArrivals(1));
  servable->Submit("predict", {One(2)}, {}, other.Done());
  ASSERT_TRUE(first.WaitForArrivals(2));  // While the first request is still in the last graph,
  ASSERT_TRUE(last.WaitForArrivals(2));   // the other one is done with the first graph.
  EXPECT_EQ(one.count + other.count, 0);
  last.Open();
  ASSERT_TRUE(one.Wait() && other.Wait());
  EXPECT_EQ(ValueOf(*one.results[0]), 1);
  EXPECT_EQ(ValueOf(*other.results[0]), 2);
}

TEST(ServableTest, StopAnswersWhatWaitsAndFinishesWhatRuns) {
  Gate gate;
  auto executor = NegatingExecutor();
  executor->before = [&](auto, auto&) { return gate.Pass(), OkStatus(); };
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

TEST(ServableTest, TheDeadlineOfARequestHoldsForTheMethodsItCalls) {
  const Deadline given = Deadline::After(std::chrono::hours(1));
  Servable* self = nullptr;
  CallContext seen;
  auto executor = NegatingExecutor();
  executor->before = [&](auto, const CallContext& context) { return seen = context, OkStatus(); };
  auto servable = Make(WithPipeline(PerInstance([&](const Instance& x) -> Result<Instance> {
                         return (*self->RunMethod("neg", {x}))[0];
                       })),
                       executor);
  self = servable.get();
  Answer answer;
  servable->Submit("predict", {One(1)}, {given, 7}, answer.Done());
  ASSERT_TRUE(answer.Wait());
  ASSERT_OK(answer.results[0]);
  EXPECT_EQ(seen.deadline, given);
  EXPECT_EQ(seen.request_id, 7u);

  ASSERT_OK(servable->RunMethod("neg", {One(1)}));
  EXPECT_TRUE(seen.deadline.is_infinite());
  EXPECT_EQ(executor->calls, 2);
}

TEST(ServableTest, AMethodCalledAfterTheRequestsDeadlineIsNotRun) {
  auto executor = NegatingExecutor();
  auto servable = Make(NegSpec(), executor);
  RequestArena late({Past()}, {}, nullptr);
  const RequestScope scope(late);
  const auto results = servable->RunMethod("neg", {One(1)});
  ASSERT_OK(results);
  EXPECT_ERROR((*results)[0], kDeadlineExceeded, "fake.neg: the request's deadline passed");
  ASSERT_TRUE(late.Claim(Cancelled("the client has left")));
  EXPECT_EQ(servable->RunMethod("neg", {One(1)}).status(), Cancelled("the client has left"));
  EXPECT_EQ(executor->calls, 0);
}

TEST(ServableTest, ACallThatFailsBecauseTheRequestWasGivenUpSaysWhy) {
  auto executor = NegatingExecutor();
  auto servable = Make(NegSpec(), executor);
  RequestArena arena({}, {}, nullptr);
  const RequestScope scope(arena);
  executor->before = [&](std::span<const Tensor>, const CallContext& context) {
    EXPECT_TRUE(arena.Claim(Cancelled("the client has left")));
    EXPECT_TRUE(context.is_cancelled());
    return Cancelled("noticed between two ranks");
  };
  EXPECT_EQ(servable->RunMethod("neg", {One(1)}).status(), Cancelled("the client has left"));
}

TEST(ServableTest, TheTimeoutOfACallableCountsFromItsAdmission) {
  using std::chrono::hours;
  StoppedClock clock;
  Timer timer(clock);
  Gate gate;
  Servable* self = nullptr;
  Status next_call;
  auto executor = NegatingExecutor();
  ServableSpec spec = WithPipeline(PerInstance([&](const Instance& x) -> Result<Instance> {
    EXPECT_EQ(RequestScope::Context().deadline, Deadline::After(hours(1), clock));
    gate.Pass();
    next_call = self->RunMethod("neg", {x}).status();
    return x;
  }));
  spec.pipelines[0].timeout = hours(1);
  auto servable = Make(spec, executor, {.max_inflight = 1, .timer = &timer});
  self = servable.get();
  Answer running, waiting, patient;
  servable->Submit("predict", {One(1)}, {Deadline::After(hours(5), clock)}, running.Done());
  ASSERT_TRUE(gate.WaitForArrivals(1));
  servable->Submit("predict", {One(2)}, {Deadline::After(hours(5), clock)}, waiting.Done());
  clock.Advance(hours(1));
  timer.RunDue();
  for (const Answer* answer : {&running, &waiting}) {
    ASSERT_EQ(answer->count, 1);
    EXPECT_ERROR(answer->results[0], kDeadlineExceeded, "the request's deadline passed");
  }
  gate.Open();
  servable->Stop();
  EXPECT_ERROR(next_call, kDeadlineExceeded, "the request's deadline passed");
  EXPECT_EQ(executor->calls, 0);
  EXPECT_EQ(running.count, 1);
}

TEST(ServableTest, RefusesTimeoutsOutOfRange) {
  ServableSpec spec = NegSpec();
  spec.methods[0].timeout = Duration(-1);
  EXPECT_ERROR(Servable::Create(spec, NegatingExecutor()), kInvalidArgument,
               "the timeout of neg is -1 ns");
  spec.methods[0].timeout = Duration::max();
  EXPECT_ERROR(Servable::Create(spec, NegatingExecutor()), kInvalidArgument,
               "the timeout of neg is");
}

TEST(ServableTest, APipelineThatRunsWhenStopBeginsMayStillCallMethods) {
  Gate gate;
  Servable* self = nullptr;
  auto servable = Make(WithPipeline(PerInstance([&](const Instance& x) -> Result<Instance> {
                         gate.Pass();
                         PIPESERVE_ASSIGN_OR_RETURN(Results results, self->RunMethod("neg", {x}));
                         return results[0];
                       })),
                       NegatingExecutor(), {.max_inflight = 1});
  self = servable.get();
  Answer running, waiting;
  servable->Submit("predict", {One(1)}, {}, running.Done());
  ASSERT_TRUE(gate.WaitForArrivals(1));
  servable->Submit("predict", {One(2)}, {}, waiting.Done());
  {
    std::jthread stopper([&] { servable->Stop(); });
    EXPECT_TRUE(waiting.Wait());  // Stop() is under way.
    gate.Open();
  }
  ASSERT_EQ(running.count, 1);
  ASSERT_OK(running.results[0]);
  EXPECT_EQ(ValueOf(*running.results[0]), -1);
  EXPECT_ERROR(waiting.results[0], kUnavailable, "servable is not available");
}

TEST(ServableTest, StopWaitsForDirectCallersAndLetsNobodyElseIn) {
  Gate gate;
  std::atomic<bool> passed{false}, stopped{false};
  auto executor = NegatingExecutor();
  executor->before = [&](std::span<const Tensor> inputs, auto&) {
    if (*inputs[0].data_as<float>() != 1) return OkStatus();
    gate.Pass();
    passed = true;
    return OkStatus();
  };
  auto servable = Make(NegSpec(), executor);
  {
    std::jthread caller([&] {
      const auto results = servable->RunMethod("neg", {One(1)});
      ASSERT_OK(results);
      EXPECT_EQ(ValueOf(*(*results)[0]), -1);
    });
    EXPECT_TRUE(gate.WaitForArrivals(1));
    std::jthread stopper([&] {
      servable->Stop();
      EXPECT_TRUE(passed);
      stopped = true;
    });
    auto refused = servable->RunMethod("neg", {One(2)});
    while (refused.ok()) refused = servable->RunMethod("neg", {One(2)});
    EXPECT_ERROR(refused, kUnavailable, "servable is not available");
    EXPECT_FALSE(stopped);
    gate.Open();
  }
  EXPECT_TRUE(stopped);
}

TEST(ServableTest, ResultsAreThoseOfASerialRunBitForBit) {
  constexpr size_t kRequests = 200;
  // Several instances a request, a batch that they do not fill, and two calls of each method.
  Servable* self = nullptr;
  ServableSpec spec = WithPipeline(PerInstance([&](const Instance& x) -> Result<Instance> {
    PIPESERVE_ASSIGN_OR_RETURN(Results first, self->RunMethod("neg", {x, One(0.1f), x, x}));
    PIPESERVE_ASSIGN_OR_RETURN(Results second, self->RunMethod("neg", {One(0.3f), *first[3]}));
    return second[1];
  }));
  spec.methods[0].preprocess = {
      PerInstance([](const Instance& x) { return One(ValueOf(x) * 1.7f + 0.1f); }),
      {{Phase::kInput, 0}},
      1};
  spec.methods[0].graph.inputs = {{Phase::kPreprocess, 0}};
  const auto run = [&](int max_inflight, bool one_by_one) {
    auto servable = Make(spec, NegatingExecutor(3), {.max_inflight = max_inflight});
    self = servable.get();
    std::vector<Answer> answers(kRequests);
    for (size_t i = 0; i < kRequests; ++i) {
      const auto value = static_cast<float>(i) / 7;
      servable->Submit("predict", {One(value), One(-value)}, {}, answers[i].Done());
      if (one_by_one) {
        EXPECT_TRUE(answers[i].Wait());
      }
    }
    std::vector<float> values;
    for (Answer& answer : answers) {
      EXPECT_TRUE(answer.Wait());
      for (const auto& result : answer.results) {
        EXPECT_OK(result);
        values.push_back(result.ok() ? ValueOf(*result) : 0);
      }
    }
    return values;
  };
  const std::vector<float> serial = run(1, true);
  const std::vector<float> overlapping = run(4, false);
  ASSERT_EQ(serial.size(), 2 * kRequests);
  EXPECT_EQ(std::memcmp(serial.data(), overlapping.data(), serial.size() * sizeof(float)), 0);
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
