#include "scheduler/runner_pool.h"

#include <array>
#include <atomic>
#include <thread>

#include "scheduler/fakes.h"
#include "scheduler/request_scope.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

class FakeCallable : public Callable {
 public:
  using Body = std::function<Results(std::vector<Instance>)>;
  explicit FakeCallable(Body body) : body_(std::move(body)) {}
  Results Run(std::vector<Instance> instances, const CallContext&) const override {
    return body_(std::move(instances));
  }

 private:
  const Body body_;
};

Results Echo(const std::vector<Instance>& instances) {
  return Results(instances.begin(), instances.end());
}

Request MakeRequest(const Callable& callable, float value, Servable::Done done,
                    const CallContext& context = {}) {
  return {&callable, {One(value)}, context, std::move(done)};
}

TEST(RunnerPoolTest, OneRunnerServesInTheOrderOfArrival) {
  constexpr int kRequests = 50;
  Gate gate;
  std::vector<float> order;
  const FakeCallable callable([&](std::vector<Instance> instances) {
    if (order.empty()) gate.Pass();  // The rest arrives while the first one runs.
    order.push_back(ValueOf(instances[0]));
    return Echo(instances);
  });
  std::array<Answer, kRequests> answers;
  RunnerPool pool({.max_inflight = 1});
  ASSERT_OK(pool.Start());
  for (int i = 0; i < kRequests; ++i) {
    pool.Submit(MakeRequest(callable, static_cast<float>(i), answers[i].Done()));
  }
  gate.Open();
  for (Answer& answer : answers) ASSERT_TRUE(answer.Wait());
  pool.Stop();
  ASSERT_EQ(order.size(), answers.size());
  for (int i = 0; i < kRequests; ++i) {
    EXPECT_EQ(order[i], static_cast<float>(i));
    EXPECT_EQ(ValueOf(*answers[i].results[0]), static_cast<float>(i));
  }
}

TEST(RunnerPoolTest, AsManyRequestsRunAtOnceAsThereAreRunners) {
  Gate gate;
  std::atomic<int> running{0}, too_many{0};
  const FakeCallable callable([&](std::vector<Instance> instances) {
    if (++running > 3) ++too_many;
    gate.Pass();
    --running;
    return Echo(instances);
  });
  std::array<Answer, 5> answers;
  RunnerPool pool({.max_inflight = 3});
  ASSERT_OK(pool.Start());
  for (Answer& answer : answers) pool.Submit(MakeRequest(callable, 1, answer.Done()));
  ASSERT_TRUE(gate.WaitForArrivals(3));
  EXPECT_EQ(running, 3);
  gate.Open();
  for (Answer& answer : answers) ASSERT_TRUE(answer.Wait());
  EXPECT_EQ(too_many, 0);
}

TEST(RunnerPoolTest, AFullQueueRefusesEachInstanceAtOnce) {
  const FakeCallable callable(Echo);
  Answer waiting, refused;
  RunnerPool pool({.queue_capacity = 1});
  pool.Submit(MakeRequest(callable, 1, waiting.Done()));
  pool.Submit({&callable, {One(2), One(3)}, {}, refused.Done()});
  EXPECT_EQ(waiting.count, 0);
  ASSERT_EQ(refused.count, 1);
  ASSERT_EQ(refused.results.size(), 2u);
  for (const auto& result : refused.results) {
    EXPECT_ERROR(result, kResourceExhausted,
                 "Serving Error: enqueued requests count exceeds the limit 1");
  }
  ASSERT_OK(pool.Start());
  ASSERT_TRUE(waiting.Wait());
  EXPECT_OK(waiting.results[0]);
}

TEST(RunnerPoolTest, ARequestWhoseDeadlinePassedIsNotRun) {
  std::atomic<int> runs{0};
  const FakeCallable callable(
      [&](std::vector<Instance> instances) { return ++runs, Echo(instances); });
  Answer late, in_time;
  RunnerPool pool({.max_inflight = 1});
  ASSERT_OK(pool.Start());
  pool.Submit(MakeRequest(callable, 1, late.Done(), Late()));
  pool.Submit(MakeRequest(callable, 2, in_time.Done(), {Deadline::After(std::chrono::hours(1))}));
  ASSERT_TRUE(late.Wait());
  ASSERT_TRUE(in_time.Wait());
  EXPECT_ERROR(late.results[0], kDeadlineExceeded, "the request's deadline passed while it waited");
  EXPECT_OK(in_time.results[0]);
  EXPECT_EQ(runs, 1);
}

TEST(RunnerPoolTest, ARequestRunsInItsScopeAndIsAnsweredOutsideOfIt) {
  const CallContext context{Deadline::After(std::chrono::hours(1)), 7};
  const FakeCallable callable([&](std::vector<Instance> instances) {
    EXPECT_EQ(RequestScope::Current().deadline, context.deadline);
    EXPECT_EQ(RequestScope::Current().request_id, 7u);
    return Echo(instances);
  });
  Answer answer;
  RunnerPool pool({.max_inflight = 1});
  ASSERT_OK(pool.Start());
  const auto done = [&, answered = answer.Done()](Results results) {
    EXPECT_TRUE(RequestScope::Current().deadline.is_infinite());
    answered(std::move(results));
  };
  pool.Submit(MakeRequest(callable, 1, done, context));
  ASSERT_TRUE(answer.Wait());
  EXPECT_OK(answer.results[0]);
}

TEST(RunnerPoolTest, EveryStopRefusesWhatWaitsAndReturnsWhenNothingRuns) {
  Gate gate;
  const FakeCallable callable(
      [&](std::vector<Instance> instances) { return gate.Pass(), Echo(instances); });
  Answer running, waiting, after;
  RunnerPool pool({.max_inflight = 1});
  ASSERT_OK(pool.Start());
  pool.Submit(MakeRequest(callable, 1, running.Done()));
  ASSERT_TRUE(gate.WaitForArrivals(1));
  pool.Submit(MakeRequest(callable, 2, waiting.Done()));
  const auto stop = [&] {
    pool.Stop();
    EXPECT_EQ(running.count, 1);
  };
  {
    std::jthread first(stop), second(stop);
    ASSERT_TRUE(waiting.Wait());
    EXPECT_EQ(running.count, 0);
    gate.Open();
  }
  EXPECT_OK(running.results[0]);
  EXPECT_ERROR(waiting.results[0], kUnavailable, "servable is not available");
  pool.Submit(MakeRequest(callable, 3, after.Done()));
  ASSERT_EQ(after.count, 1);
  EXPECT_ERROR(after.results[0], kUnavailable, "servable is not available");
  pool.Stop();
}

TEST(RunnerPoolTest, TheDestructorAnswersWhatNobodyRan) {
  const FakeCallable callable(Echo);
  Answer answer;
  {
    RunnerPool pool({});
    pool.Submit(MakeRequest(callable, 1, answer.Done()));
    EXPECT_EQ(answer.count, 0);
  }
  ASSERT_EQ(answer.count, 1);
  EXPECT_ERROR(answer.results[0], kUnavailable, "servable is not available");
}

TEST(RunnerPoolTest, WhateverHappensEachRequestIsAnsweredOnce) {
  constexpr int kThreads = 4, kEach = 300;
  const FakeCallable callable(Echo);
  std::vector<std::atomic<int>> answered(kThreads * kEach);
  std::atomic<int> wrong{0};
  RunnerPool pool({.max_inflight = 2, .queue_capacity = 3});
  ASSERT_OK(pool.Start());
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = t * kEach; i < (t + 1) * kEach; ++i) {
          const auto value = static_cast<float>(i);
          const auto done = [&, i, value](Results results) {
            ++answered[static_cast<size_t>(i)];
            if (results.size() != 1 || (results[0].ok() && ValueOf(*results[0]) != value)) ++wrong;
          };
          pool.Submit(MakeRequest(callable, value, done, i % 5 == 0 ? Late() : CallContext{}));
        }
        if (t == 0) pool.Stop();
      });
    }
  }
  for (const auto& count : answered) EXPECT_EQ(count, 1);
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace pipeserve
