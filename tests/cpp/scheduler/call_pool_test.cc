#include "scheduler/call_pool.h"

#include <array>
#include <atomic>
#include <cstring>
#include <future>
#include <thread>

#include "scheduler/fakes.h"
#include "scheduler/request_scope.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

std::shared_ptr<SubmittedCall> Call(SubmittedCall::Work work) {
  return std::make_shared<SubmittedCall>(nullptr, std::move(work));
}

TEST(CallPoolTest, CallsBeginInTheOrderInWhichTheyWereSubmitted) {
  std::vector<int> order;
  std::vector<std::shared_ptr<SubmittedCall>> calls;
  CallPool pool(1);
  for (int i = 0; i < 100; ++i) {
    calls.push_back(Call([&order, i]() -> Result<Results> {
      order.push_back(i);
      return Results{One(static_cast<float>(i))};
    }));
    ASSERT_OK(pool.Submit(calls.back()));
  }
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(calls[i]->WaitFor(seconds(10)));
    EXPECT_EQ(ValueOf(*(*calls[i]->result())[0]), i);
  }
  pool.Stop();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[i], i);
}

TEST(CallPoolTest, AsManyRunAtOnceAsThereAreThreads) {
  Gate gate;
  CallPool pool(3);
  std::vector<std::shared_ptr<SubmittedCall>> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(Call([&]() -> Result<Results> { return gate.Pass(), Results{}; }));
    ASSERT_OK(pool.Submit(calls.back()));
  }
  ASSERT_TRUE(gate.WaitForArrivals(3));
  EXPECT_TRUE(calls[0]->running());
  EXPECT_FALSE(calls[0]->WaitFor(std::chrono::milliseconds(1)));
  EXPECT_FALSE(calls[0]->Cancel());
  EXPECT_FALSE(calls[3]->running());
  EXPECT_TRUE(calls[3]->Cancel());
  EXPECT_ERROR(calls[3]->result(), kCancelled, "the call was taken back");
  gate.Open();
  for (const auto& call : calls) EXPECT_TRUE(call->WaitFor(seconds(10)));
}

TEST(CallPoolTest, StopAbandonsWhatWaitsAndAwaitsWhatRuns) {
  Gate gate;
  std::atomic<bool> finished{false};
  const auto running = Call([&]() -> Result<Results> {
    gate.Pass();
    finished = true;
    return Results{};
  });
  const auto waiting = Call([]() -> Result<Results> { return Results{}; });
  CallPool pool(1);
  ASSERT_OK(pool.Submit(running));
  ASSERT_TRUE(gate.WaitForArrivals(1));
  ASSERT_OK(pool.Submit(waiting));
  {
    std::jthread stopper([&] {
      pool.Stop();
      EXPECT_TRUE(finished);
    });
    EXPECT_TRUE(waiting->WaitFor(seconds(10)));
    gate.Open();
  }
  EXPECT_ERROR(waiting->result(), kUnavailable, "servable is not available");
  EXPECT_OK(running->result());
  EXPECT_ERROR(pool.Submit(waiting), kUnavailable, "servable is not available");
}

// A servable whose pipeline fans out, with a gate that the graph calls of negative values wait at.
class FanOutTest : public ::testing::Test {
 protected:
  using Body = std::function<Result<Instance>(const Instance&)>;

  void Serve(Body body, int64_t batch = 1) {
    executor_ = NegatingExecutor(batch);
    executor_->before = [this](std::span<const Tensor> inputs, const CallContext&) {
      if (*inputs[0].data_as<float>() < 0) gate_.Pass();
      return OkStatus();
    };
    ServableSpec spec = NegSpec();
    spec.pipelines = {{"predict", {"x"}, {"y"}, PerInstance(std::move(body))}};
    auto servable = Servable::Create(spec, executor_, {.max_inflight = 2, .timer = &timer_});
    ASSERT_OK(servable);
    servable_ = *std::move(servable);
  }
  Result<std::shared_ptr<PendingCall>> Call(float value) {
    return servable_->SubmitMethod("neg", {One(value)});
  }
  void Ask(Answer& answer, RequestInfo info = {}) {
    info.account = account_;
    servable_->Submit("predict", {One(1)}, std::move(info), answer.Done());
  }

  // A pipeline function waits for a call that hangs, until `give_up`.
  void ExpectWaitsEnd(StatusCode code, const std::function<void(CancelToken&)>& give_up) {
    Status seen, next;
    Serve([&](const Instance& x) -> Result<Instance> {
      PIPESERVE_ASSIGN_OR_RETURN(const auto call, Call(-1));
      EXPECT_TRUE(call->WaitFor(seconds(10)));
      seen = call->result().status();
      next = Call(1).status();
      gate_.Open();
      return x;
    });
    const auto cancel = std::make_shared<CancelToken>();
    Answer answer;
    Ask(answer, {.deadline = Deadline::After(hours(1), clock_), .cancel = cancel});
    ASSERT_TRUE(gate_.WaitForArrivals(1));
    give_up(*cancel);
    ASSERT_EQ(answer.count, 1);
    servable_->Stop();
    EXPECT_EQ(answer.results[0].status().code(), code);
    EXPECT_EQ(seen.code(), code);
    EXPECT_EQ(next.code(), code);
    EXPECT_EQ(account_->live_bytes(), 0u);
  }

  StoppedClock clock_;
  Timer timer_{clock_};
  Gate gate_;
  std::shared_ptr<FakeExecutor> executor_;
  const std::shared_ptr<ByteAccount> account_ = std::make_shared<ByteAccount>();
  std::unique_ptr<Servable> servable_;
};

TEST_F(FanOutTest, CallsOfOneRequestRunSideBySide) {
  Serve([this](const Instance&) -> Result<Instance> {
    PIPESERVE_ASSIGN_OR_RETURN(const auto first, Call(-1));
    PIPESERVE_ASSIGN_OR_RETURN(const auto second, Call(-2));
    EXPECT_TRUE(gate_.WaitForArrivals(2));
    gate_.Open();
    EXPECT_TRUE(first->WaitFor(seconds(10)));
    EXPECT_TRUE(second->WaitFor(seconds(10)));
    return One(ValueOf(*(*first->result())[0]) + 10 * ValueOf(*(*second->result())[0]));
  });
  Answer answer;
  Ask(answer);
  ASSERT_TRUE(answer.Wait());
  ASSERT_OK(answer.results[0]);
  EXPECT_EQ(ValueOf(*answer.results[0]), 21);
}

TEST_F(FanOutTest, NothingOutlivesItsRequest) {
  std::vector<std::shared_ptr<PendingCall>> kept;
  std::promise<std::shared_ptr<PendingCall>> last;
  Serve([&](const Instance& x) -> Result<Instance> {
    for (int i = 0; i < 200; ++i) kept.push_back(*Call(-1));
    EXPECT_TRUE(gate_.WaitForArrivals(2));
    last.set_value(kept.back());
    return x;
  });
  Answer answer;
  Ask(answer);
  // The function has returned, and what waits is taken back while two calls run.
  ASSERT_TRUE(last.get_future().get()->WaitFor(std::chrono::seconds(10)));
  EXPECT_EQ(answer.count, 0);
  gate_.Open();
  ASSERT_TRUE(answer.Wait());
  EXPECT_OK(answer.results[0]);
  int taken_back = 0;
  for (const auto& call : kept) {
    EXPECT_TRUE(call->done());
    taken_back += call->result().status().code() == StatusCode::kCancelled;
  }
  EXPECT_GT(taken_back, 0);
  EXPECT_EQ(taken_back + executor_->calls, 200);
  servable_->Stop();
  kept.clear();
  answer.results.clear();
  EXPECT_EQ(account_->live_bytes(), 0u);
}

TEST_F(FanOutTest, WaitsEndAtTheDeadline) {
  ExpectWaitsEnd(StatusCode::kDeadlineExceeded, [this](CancelToken&) {
    clock_.Advance(hours(1));
    timer_.RunDue();
  });
}

TEST_F(FanOutTest, WaitsEndWhenTheClientLeaves) {
  ExpectWaitsEnd(StatusCode::kCancelled, [](CancelToken& cancel) { cancel.Raise(); });
}

TEST_F(FanOutTest, ACallThatAPoolThreadSubmitsRunsThere) {
  Serve([](const Instance& x) { return x; });
  ServableSpec spec = NegSpec();
  std::unique_ptr<Servable> outer;
  spec.methods[0].preprocess = {
      PerInstance([&](const Instance& x) -> Result<Instance> {
        if (ValueOf(x) < 0) return x;
        PIPESERVE_ASSIGN_OR_RETURN(const auto call, outer->SubmitMethod("neg", {One(-ValueOf(x))}));
        EXPECT_TRUE(call->done());
        return *(*call->result())[0];
      }),
      {{Phase::kInput, 0}},
      1};
  spec.methods[0].graph.inputs = {{Phase::kPreprocess, 0}};
  auto created = Servable::Create(spec, NegatingExecutor(), {.max_inflight = 1});
  ASSERT_OK(created);
  outer = *std::move(created);
  std::vector<std::shared_ptr<PendingCall>> calls;
  for (int i = 1; i < 50; ++i) {
    calls.push_back(*outer->SubmitMethod("neg", {One(static_cast<float>(i))}));
  }
  for (int i = 1; i < 50; ++i) {
    ASSERT_TRUE(calls[i - 1]->WaitFor(seconds(10)));
    ASSERT_OK((*calls[i - 1]->result())[0]);
    EXPECT_EQ(ValueOf(*(*calls[i - 1]->result())[0]), -i);
  }
  outer->Stop();
}

TEST_F(FanOutTest, ErrorsAreThoseOfRunMethod) {
  Serve([](const Instance& x) { return x; });
  EXPECT_ERROR(servable_->SubmitMethod("fun9", {One(1)}), kNotFound, "Not support method fun9");
  EXPECT_ERROR(servable_->SubmitMethod("neg", {}), kInvalidArgument, "Inputs cannot be empty");
  servable_->Stop();
  EXPECT_ERROR(Call(1), kUnavailable, "servable is not available");
}

TEST_F(FanOutTest, ResultsAreThoseOfSerialCallsBitForBit) {
  constexpr int kCalls = 200;
  Serve([](const Instance& x) { return x; });
  std::vector<std::shared_ptr<PendingCall>> calls;
  for (int i = 0; i < kCalls; ++i) calls.push_back(*Call(static_cast<float>(i) / 7));
  for (int i = 0; i < kCalls; ++i) {
    const auto serial = servable_->RunMethod("neg", {One(static_cast<float>(i) / 7)});
    ASSERT_TRUE(calls[i]->WaitFor(seconds(10)));
    const float a = ValueOf(*(*serial)[0]), b = ValueOf(*(*calls[i]->result())[0]);
    EXPECT_EQ(std::memcmp(&a, &b, sizeof(a)), 0);
  }
}

}  // namespace
}  // namespace pipeserve
