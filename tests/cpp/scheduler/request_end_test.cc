// Whatever way a request ends, and in whatever phase, it is answered once and leaves no bytes.
#include <stdexcept>
#include <string>
#include <thread>

#include "scheduler/fakes.h"
#include "support/matchers.h"
#include "tensor/buffer_pool.h"

namespace pipeserve {
namespace {

enum class End { kResult, kRaises, kWrongCount, kExecutorError, kClientLeaves, kDeadline, kStop };
enum class When { kQueued, kComputing, kMoving };  // kMoving: the reply is being written.

constexpr const char* kEndNames[] = {"Result",       "Raises",   "WrongCount", "ExecutorError",
                                     "ClientLeaves", "Deadline", "Stop"};
constexpr const char* kWhenNames[] = {"Queued", "Computing", "Moving"};

class RequestEndTest : public ::testing::TestWithParam<std::tuple<End, When>> {
 protected:
  End end() const { return std::get<0>(GetParam()); }
  When when() const { return std::get<1>(GetParam()); }

  void StartServable() {
    executor_->before = [this](std::span<const Tensor>, const CallContext&) {
      if (when() == When::kComputing) gate_.Pass();
      return end() == End::kExecutorError ? Aborted("a rank failed") : OkStatus();
    };
    ServableSpec spec = NegSpec();
    spec.pipelines = {
        {"predict", {"x"}, {"y"}, PerInstance([this](const Instance& x) { return Predict(x); })}};
    auto servable = Servable::Create(spec, executor_,
                                     {.max_inflight = 1, .queue_capacity = 5, .timer = &timer_});
    ASSERT_OK(servable);
    servable_ = *std::move(servable);
  }

  Result<Instance> Predict(const Instance& x) {
    if (ValueOf(x) == kBlocker) return gate_.Pass(), x;
    PIPESERVE_ASSIGN_OR_RETURN(const Results results, servable_->RunMethod("neg", {x}));
    if (end() == End::kRaises) throw std::runtime_error("boom");
    if (end() == End::kWrongCount) return Instance{};
    return results[0];
  }

  // The request of the test, once it is in its phase.
  void Submit() {
    if (when() == When::kQueued) {
      servable_->Submit("predict", {One(kBlocker)}, {}, [](const Results&) {});
      ASSERT_TRUE(gate_.WaitForArrivals(1));
    }
    RequestInfo info{Deadline::After(std::chrono::hours(1), clock_), 1, cancel_,
                     *admission_.Enter(sizeof(float)), account_};
    servable_->Submit("predict", {One(1)}, std::move(info), [this](Results results) {
      answered_by_results_ = results[0].ok();
      ++answers_;
      if (when() == When::kMoving) gate_.Pass();
    });
    if (when() != When::kQueued) {
      ASSERT_TRUE(gate_.WaitForArrivals(1));
    }
  }

  // What ends the request from outside.
  void Interrupt() {
    if (end() == End::kClientLeaves) cancel_->Raise();
    if (end() == End::kDeadline) {
      clock_.Advance(std::chrono::hours(1));
      timer_.RunDue();
    }
    if (end() == End::kStop) stopper_ = std::jthread([this] { servable_->Stop(); });
  }

  void AwaitAnswer() {
    const Deadline limit = Deadline::After(std::chrono::seconds(10));
    while (answers_ == 0 && !limit.HasPassed()) std::this_thread::yield();
    EXPECT_EQ(answers_, 1);
  }

  static constexpr float kBlocker = -7;
  const size_t pool_before_ = BufferPool::Global().live_bytes();
  const std::shared_ptr<ByteAccount> account_ = std::make_shared<ByteAccount>();
  const std::shared_ptr<CancelToken> cancel_ = std::make_shared<CancelToken>();
  std::shared_ptr<FakeExecutor> executor_ = NegatingExecutor();
  StoppedClock clock_;
  Timer timer_{clock_};
  Admission admission_{AdmissionLimits{}};
  Gate gate_;
  std::atomic<int> answers_{0};
  std::atomic<bool> answered_by_results_{false};
  std::unique_ptr<Servable> servable_;
  std::jthread stopper_;
};

TEST_P(RequestEndTest, NothingIsLeft) {
  StartServable();
  Submit();
  const bool good_reply = when() != When::kMoving || answered_by_results_;
  EXPECT_EQ(account_->live_bytes() > 0, good_reply);
  EXPECT_EQ(BufferPool::Global().live_bytes() > pool_before_, good_reply);
  Interrupt();
  const bool is_given_up = end() == End::kClientLeaves || end() == End::kDeadline;
  if (is_given_up) {
    EXPECT_EQ(answers_, 1);  // At once, though its function may go on.
    EXPECT_EQ(admission_.requests(), 0u);
    if (when() == When::kQueued) {
      EXPECT_EQ(account_->live_bytes(), 0u);
      EXPECT_EQ(admission_.bytes(), 0u);
    }
  }
  // Who waits when the servable stops does not wait for what runs.
  if (end() == End::kStop && when() == When::kQueued) AwaitAnswer();
  gate_.Open();
  AwaitAnswer();
  servable_->Stop();
  if (stopper_.joinable()) stopper_.join();
  EXPECT_EQ(answers_, 1);
  // A request ends well when nothing was wrong, or what happened came too late.
  const bool is_late =
      when() == When::kMoving || (end() == End::kStop && when() == When::kComputing);
  const bool is_interrupted = is_given_up || end() == End::kStop;
  EXPECT_EQ(answered_by_results_, end() == End::kResult || (is_interrupted && is_late));
  EXPECT_EQ(account_->live_bytes(), 0u);
  EXPECT_EQ(admission_.requests(), 0u);
  EXPECT_EQ(admission_.bytes(), 0u);
  EXPECT_EQ(timer_.size(), 0u);
  EXPECT_EQ(BufferPool::Global().live_bytes(), pool_before_);
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<End, When>>& info) {
  return std::string(kEndNames[static_cast<int>(std::get<0>(info.param))]) +
         kWhenNames[static_cast<int>(std::get<1>(info.param))];
}

INSTANTIATE_TEST_SUITE_P(
    EachEndInEachPhase, RequestEndTest,
    ::testing::Combine(::testing::Values(End::kResult, End::kRaises, End::kWrongCount,
                                         End::kExecutorError, End::kClientLeaves, End::kDeadline,
                                         End::kStop),
                       ::testing::Values(When::kQueued, When::kComputing, When::kMoving)),
    NameOf);

}  // namespace
}  // namespace pipeserve
