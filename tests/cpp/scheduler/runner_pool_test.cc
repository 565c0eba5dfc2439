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

// A pool whose time a test moves.
class RunnerPoolTest : public ::testing::Test {
 protected:
  StoppedClock clock_;
  Timer timer_{clock_};

  Deadline InAnHour() const { return Deadline::After(std::chrono::hours(1), clock_); }
  void PassTwoHours() {
    clock_.Advance(std::chrono::hours(2));
    timer_.RunDue();
  }
};

void Submit(RunnerPool& pool, const Callable& callable, float value, Servable::Done done,
            RequestInfo info = {}) {
  pool.Submit(callable, std::move(info), {One(value)}, std::move(done));
}

TEST_F(RunnerPoolTest, OneRunnerServesInTheOrderOfArrival) {
  constexpr int kRequests = 50;
  Gate gate;
  std::vector<float> order;
  const FakeCallable callable([&](std::vector<Instance> instances) {
    if (order.empty()) gate.Pass();  // The rest arrives while the first one runs.
    order.push_back(ValueOf(instances[0]));
    return Echo(instances);
  });
  std::array<Answer, kRequests> answers;
  RunnerPool pool({.max_inflight = 1}, timer_);
  ASSERT_OK(pool.Start());
  for (int i = 0; i < kRequests; ++i) {
    Submit(pool, callable, static_cast<float>(i), answers[i].Done());
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

TEST_F(RunnerPoolTest, AsManyRequestsRunAtOnceAsThereAreRunners) {
  Gate gate;
  std::atomic<int> running{0}, too_many{0};
  const FakeCallable callable([&](std::vector<Instance> instances) {
    if (++running > 3) ++too_many;
    gate.Pass();
    --running;
    return Echo(instances);
  });
  std::array<Answer, 5> answers;
  RunnerPool pool({.max_inflight = 3}, timer_);
  ASSERT_OK(pool.Start());
  for (Answer& answer : answers) Submit(pool, callable, 1, answer.Done());
  ASSERT_TRUE(gate.WaitForArrivals(3));
  EXPECT_EQ(running, 3);
  gate.Open();
  for (Answer& answer : answers) ASSERT_TRUE(answer.Wait());
  EXPECT_EQ(too_many, 0);
}

TEST_F(RunnerPoolTest, AFullQueueRefusesEachInstanceAtOnce) {
  const FakeCallable callable(Echo);
  Answer waiting, refused;
  RunnerPool pool({.queue_capacity = 1}, timer_);
  Submit(pool, callable, 1, waiting.Done());
  pool.Submit(callable, {}, {One(2), One(3)}, refused.Done());
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

TEST_F(RunnerPoolTest, ARequestWhoseDeadlinePassedIsNotRun) {
  std::atomic<int> runs{0};
  const FakeCallable callable(
      [&](std::vector<Instance> instances) { return ++runs, Echo(instances); });
  Answer late, in_time;
  RunnerPool pool({.max_inflight = 1}, timer_);
  ASSERT_OK(pool.Start());
  Submit(pool, callable, 1, late.Done(), {Past()});
  Submit(pool, callable, 2, in_time.Done(), {InAnHour()});
  ASSERT_TRUE(late.Wait());
  ASSERT_TRUE(in_time.Wait());
  EXPECT_ERROR(late.results[0], kDeadlineExceeded,
               "the request's deadline passed before it was done");
  EXPECT_OK(in_time.results[0]);
  EXPECT_EQ(runs, 1);
}

TEST_F(RunnerPoolTest, ARequestThatWaitsIsAnsweredAtItsDeadline) {
  Gate gate;
  std::atomic<int> runs{0};
  const FakeCallable callable(
      [&](std::vector<Instance> instances) { return ++runs, gate.Pass(), Echo(instances); });
  Answer running, waiting, next;
  RunnerPool pool({.max_inflight = 1, .queue_capacity = 1}, timer_);
  ASSERT_OK(pool.Start());
  Submit(pool, callable, 1, running.Done());
  ASSERT_TRUE(gate.WaitForArrivals(1));
  Submit(pool, callable, 2, waiting.Done(), {InAnHour()});
  timer_.RunDue();
  EXPECT_EQ(waiting.count, 0);
  PassTwoHours();
  ASSERT_EQ(waiting.count, 1);
  EXPECT_ERROR(waiting.results[0], kDeadlineExceeded,
               "the request's deadline passed before it was done");
  Submit(pool, callable, 3, next.Done());  // The place in the queue is free again.
  EXPECT_EQ(next.count, 0);
  gate.Open();
  ASSERT_TRUE(next.Wait());
  EXPECT_OK(next.results[0]);
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(waiting.count, 1);
}

TEST_F(RunnerPoolTest, ARequestThatRunsIsAnsweredAtItsDeadlineAndKeepsItsRunner) {
  Gate gate;
  std::atomic<bool> seen{false};
  const FakeCallable callable([&](std::vector<Instance> instances) {
    if (ValueOf(instances[0]) == 1) {
      gate.Pass();
      seen = RequestScope::Context().is_cancelled();
    }
    return Echo(instances);
  });
  Answer running, waiting;
  RunnerPool pool({.max_inflight = 1}, timer_);
  ASSERT_OK(pool.Start());
  Submit(pool, callable, 1, running.Done(), {InAnHour()});
  ASSERT_TRUE(gate.WaitForArrivals(1));
  Submit(pool, callable, 2, waiting.Done());
  PassTwoHours();
  ASSERT_EQ(running.count, 1);
  EXPECT_ERROR(running.results[0], kDeadlineExceeded, "the request's deadline passed");
  EXPECT_EQ(waiting.count, 0);
  gate.Open();
  ASSERT_TRUE(waiting.Wait());
  EXPECT_OK(waiting.results[0]);
  EXPECT_TRUE(seen);
  EXPECT_EQ(running.count, 1);
}

TEST_F(RunnerPoolTest, AnAnsweredRequestLeavesNothingWithTheTimer) {
  const FakeCallable callable(Echo);
  Answer answer;
  RunnerPool pool({.max_inflight = 1}, timer_);
  ASSERT_OK(pool.Start());
  Submit(pool, callable, 1, answer.Done(), {InAnHour()});
  ASSERT_TRUE(answer.Wait());
  pool.Stop();
  EXPECT_EQ(timer_.size(), 0u);
}

TEST_F(RunnerPoolTest, AClientThatLeavesFreesItsPlaceInTheQueue) {
  Gate gate;
  std::atomic<int> runs{0};
  const FakeCallable callable(
      [&](std::vector<Instance> instances) { return ++runs, gate.Pass(), Echo(instances); });
  const auto leaves = std::make_shared<CancelToken>();
  Answer running, waiting, next;
  RunnerPool pool({.max_inflight = 1, .queue_capacity = 1}, timer_);
  ASSERT_OK(pool.Start());
  Submit(pool, callable, 1, running.Done());
  ASSERT_TRUE(gate.WaitForArrivals(1));
  Submit(pool, callable, 2, waiting.Done(), {.cancel = leaves});
  EXPECT_EQ(waiting.count, 0);
  leaves->Raise();
  ASSERT_EQ(waiting.count, 1);
  EXPECT_ERROR(waiting.results[0], kCancelled, "the client has left");
  Submit(pool, callable, 3, next.Done());
  EXPECT_EQ(next.count, 0);
  gate.Open();
  ASSERT_TRUE(next.Wait());
  EXPECT_OK(next.results[0]);
  EXPECT_EQ(runs, 2);
}

TEST_F(RunnerPoolTest, AClientThatHasLeftBeforeIsAnsweredAtOnce) {
  std::atomic<int> runs{0};
  const FakeCallable callable(
      [&](std::vector<Instance> instances) { return ++runs, Echo(instances); });
  const auto left = std::make_shared<CancelToken>();
  left->Raise();
  Answer gone, next;
  RunnerPool pool({.max_inflight = 1, .queue_capacity = 1}, timer_);
  Submit(pool, callable, 1, gone.Done(), {.cancel = left});
  ASSERT_EQ(gone.count, 1);
  EXPECT_ERROR(gone.results[0], kCancelled, "the client has left");
  Submit(pool, callable, 2, next.Done());
  EXPECT_EQ(next.count, 0);
  ASSERT_OK(pool.Start());
  ASSERT_TRUE(next.Wait());
  EXPECT_EQ(runs, 1);
}

TEST_F(RunnerPoolTest, AClientThatLeavesWhileItsRequestRunsIsAnsweredAtOnce) {
  Gate gate;
  const auto leaves = std::make_shared<CancelToken>();
  const FakeCallable callable([&](std::vector<Instance> instances) {
    gate.Pass();
    EXPECT_TRUE(RequestScope::Context().is_cancelled());
    EXPECT_ERROR(RequestScope::Current()->status(), kCancelled, "the client has left");
    return Echo(instances);
  });
  Answer answer;
  RunnerPool pool({.max_inflight = 1}, timer_);
  ASSERT_OK(pool.Start());
  Submit(pool, callable, 1, answer.Done(), {.cancel = leaves});
  ASSERT_TRUE(gate.WaitForArrivals(1));
  leaves->Raise();
  ASSERT_EQ(answer.count, 1);
  EXPECT_ERROR(answer.results[0], kCancelled, "the client has left");
  gate.Open();
  pool.Stop();
  EXPECT_EQ(answer.count, 1);
}

TEST_F(RunnerPoolTest, ARequestRunsInItsScopeAndIsAnsweredOutsideOfIt) {
  const FakeCallable callable([&](std::vector<Instance> instances) {
    EXPECT_EQ(RequestScope::Context().deadline, InAnHour());
    EXPECT_EQ(RequestScope::Context().request_id, 7u);
    return Echo(instances);
  });
  Answer answer;
  RunnerPool pool({.max_inflight = 1}, timer_);
  ASSERT_OK(pool.Start());
  const auto done = [&, answered = answer.Done()](Results results) {
    EXPECT_EQ(RequestScope::Current(), nullptr);
    answered(std::move(results));
  };
  Submit(pool, callable, 1, done, {InAnHour(), 7});
  ASSERT_TRUE(answer.Wait());
  EXPECT_OK(answer.results[0]);
}

TEST_F(RunnerPoolTest, EveryStopRefusesWhatWaitsAndReturnsWhenNothingRuns) {
  Gate gate;
  const FakeCallable callable(
      [&](std::vector<Instance> instances) { return gate.Pass(), Echo(instances); });
  Answer running, waiting, after;
  RunnerPool pool({.max_inflight = 1}, timer_);
  ASSERT_OK(pool.Start());
  Submit(pool, callable, 1, running.Done());
  ASSERT_TRUE(gate.WaitForArrivals(1));
  Submit(pool, callable, 2, waiting.Done());
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
  Submit(pool, callable, 3, after.Done());
  ASSERT_EQ(after.count, 1);
  EXPECT_ERROR(after.results[0], kUnavailable, "servable is not available");
  pool.Stop();
}

TEST_F(RunnerPoolTest, TheDestructorAnswersWhatNobodyRan) {
  const FakeCallable callable(Echo);
  Answer answer;
  {
    RunnerPool pool({}, timer_);
    Submit(pool, callable, 1, answer.Done());
    EXPECT_EQ(answer.count, 0);
  }
  ASSERT_EQ(answer.count, 1);
  EXPECT_ERROR(answer.results[0], kUnavailable, "servable is not available");
}

TEST_F(RunnerPoolTest, WhateverHappensEachRequestIsAnsweredOnce) {
  constexpr int kThreads = 4, kEach = 300;
  const FakeCallable callable(Echo);
  std::vector<std::atomic<int>> answered(kThreads * kEach);
  std::atomic<int> wrong{0};
  Timer timer;  // By the machine's clock.
  RunnerPool pool({.max_inflight = 2, .queue_capacity = 3}, timer);
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
          const auto cancel = std::make_shared<CancelToken>();
          RequestInfo info{.cancel = cancel};
          if (i % 5 == 0) info.deadline = Past();
          if (i % 5 == 1) info.deadline = Deadline::After(std::chrono::microseconds(20));
          Submit(pool, callable, value, done, std::move(info));
          if (i % 3 == 0) cancel->Raise();
        }
        if (t == 0) pool.Stop();
      });
    }
  }
  timer.RunDue();
  for (const auto& count : answered) EXPECT_EQ(count, 1);
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(timer.size(), 0u);
}

TEST_F(RunnerPoolTest, RunsHereBesideAFullQueue) {
  Gate gate;
  const FakeCallable waiting([&](std::vector<Instance> instances) {
    gate.Pass();
    return Echo(instances);
  });
  const auto caller = std::this_thread::get_id();
  const FakeCallable here([&](std::vector<Instance> instances) {
    EXPECT_EQ(std::this_thread::get_id(), caller);
    EXPECT_NE(RequestScope::Current(), nullptr);
    return Echo(instances);
  });
  std::array<Answer, 2> answers;
  RunnerPool pool({.max_inflight = 1, .queue_capacity = 1}, timer_);
  ASSERT_OK(pool.Start());
  for (Answer& answer : answers) {
    Submit(pool, waiting, 1, answer.Done());
    ASSERT_TRUE(gate.WaitForArrivals(1));  // The second one fills the queue.
  }
  const Results results = pool.RunHere(here, {}, {One(7)});
  ASSERT_OK(results[0]);
  EXPECT_EQ(ValueOf(*results[0]), 7);
  gate.Open();
  for (Answer& answer : answers) EXPECT_TRUE(answer.Wait());
}

TEST_F(RunnerPoolTest, WhatRunsHereIsGivenUpAtItsDeadline) {
  RunnerPool pool({}, timer_);
  ASSERT_OK(pool.Start());
  const FakeCallable callable([&](std::vector<Instance> instances) {
    PassTwoHours();
    EXPECT_ERROR(RequestScope::Current()->status(), kDeadlineExceeded, "deadline passed");
    return Echo(instances);
  });
  const Results results = pool.RunHere(callable, {.deadline = InAnHour()}, {One(1)});
  EXPECT_ERROR(results[0], kDeadlineExceeded, "the request's deadline passed");
}

TEST_F(RunnerPoolTest, ADeadlineHasOneTextWhoeverNoticesIt) {
  RunnerPool pool({}, timer_);
  ASSERT_OK(pool.Start());
  const FakeCallable callable([&](std::vector<Instance>) {
    clock_.Advance(std::chrono::hours(2));  // The timer has not noticed yet.
    return Results{DeadlineExceeded("graph 1 has not finished")};
  });
  const Results results = pool.RunHere(callable, {.deadline = InAnHour()}, {One(1)});
  EXPECT_ERROR(results[0], kDeadlineExceeded, "the request's deadline passed");
}

TEST_F(RunnerPoolTest, StopAwaitsWhatRunsHereAndRefusesMore) {
  Gate gate;
  const FakeCallable callable([&](std::vector<Instance> instances) {
    gate.Pass();
    return Echo(instances);
  });
  RunnerPool pool({}, timer_);
  ASSERT_OK(pool.Start());
  Results results;
  std::thread caller([&] { results = pool.RunHere(callable, {}, {One(3)}); });
  ASSERT_TRUE(gate.WaitForArrivals(1));
  std::atomic<bool> stopped{false};
  std::thread stopper([&] {
    pool.Stop();
    stopped = true;
  });
  EXPECT_FALSE(stopped);
  gate.Open();
  caller.join();
  stopper.join();
  ASSERT_OK(results[0]);
  EXPECT_EQ(ValueOf(*results[0]), 3);
  EXPECT_ERROR(pool.RunHere(callable, {}, {One(1)})[0], kUnavailable, "servable is not available");
}

TEST_F(RunnerPoolTest, GivingAllUpAnswersWhatRunsWhatWaitsAndWhatComes) {
  Gate gate;
  std::atomic<int> runs{0};
  std::atomic<bool> knows_it{false};
  const FakeCallable callable([&](std::vector<Instance> instances) {
    ++runs;
    gate.Pass();
    knows_it = !RequestScope::Current()->status().ok();
    return Echo(instances);
  });
  const Status reason = Unavailable("it has been unloaded");
  RunnerPool pool({.max_inflight = 1}, timer_);
  ASSERT_OK(pool.Start());
  Answer running, waiting, late;
  Submit(pool, callable, 1, running.Done());
  ASSERT_TRUE(gate.WaitForArrivals(1));
  Submit(pool, callable, 2, waiting.Done());
  EXPECT_EQ(pool.waiting(), 1u);
  pool.GiveUpAll(reason);
  ASSERT_TRUE(running.Wait());
  ASSERT_TRUE(waiting.Wait());
  Submit(pool, callable, 3, late.Done());
  ASSERT_TRUE(late.Wait());
  EXPECT_EQ(pool.RunHere(callable, {}, {One(4)}).front().status(), reason);
  for (Answer* answer : {&running, &waiting, &late}) {
    EXPECT_EQ(answer->results.at(0).status(), reason);
  }
  gate.Open();
  pool.Stop();
  EXPECT_TRUE(knows_it);
  EXPECT_EQ(runs, 1);
  for (Answer* answer : {&running, &waiting, &late}) EXPECT_EQ(answer->count, 1);
}

}  // namespace
}  // namespace pipeserve
