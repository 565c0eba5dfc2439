#include "base/timer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

namespace pipeserve {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

class TimerByHandTest : public testing::Test {
 protected:
  Timer::Entry AddAfter(Duration delay, Timer::Action action) {
    return timer_.Add(Deadline::After(delay, clock_), std::move(action));
  }
  void RunDueAfter(Duration passed) {
    clock_.Advance(passed);
    timer_.RunDue();
  }

  FakeClock clock_;
  Timer timer_{clock_};
};

TEST_F(TimerByHandTest, ActionsHappenInTheOrderOfTheirDeadlines) {
  std::vector<int> order;
  const auto add = [&](int number, hours after) {
    return AddAfter(after, [&order, number] { order.push_back(number); });
  };
  const Timer::Entry third = add(3, hours(3)), first = add(1, hours(1)), second = add(2, hours(1));
  RunDueAfter({});
  EXPECT_EQ(order, std::vector<int>{});
  RunDueAfter(hours(2));
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  RunDueAfter(hours(2));
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(timer_.size(), 0u);
}

TEST(TimerTest, TheThreadDoesThemByItself) {
  Timer timer;
  std::promise<void> late, early;
  const auto in_an_hour = timer.Add(Deadline::After(hours(1)), [] { FAIL(); });
  const auto second = timer.Add(Deadline::After(milliseconds(20)), [&] { late.set_value(); });
  const auto first = timer.Add(Deadline::After(milliseconds(1)), [&] { early.set_value(); });
  EXPECT_EQ(early.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(late.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(timer.size(), 1u);
}

TEST_F(TimerByHandTest, AnEntryThatIsGoneTakesItsActionBack) {
  const auto held = std::make_shared<int>(0);
  {
    Timer::Entry entry = AddAfter(hours(1), [held] { ++*held; });
    const Timer::Entry moved = std::move(entry);
    EXPECT_EQ(timer_.size(), 1u);
  }
  EXPECT_EQ(held.use_count(), 1);
  RunDueAfter(hours(2));
  EXPECT_EQ(*held, 0);
}

TEST(TimerTest, AnInfiniteDeadlineIsNoEntry) {
  Timer timer;
  const Timer::Entry entry = timer.Add(Deadline::Infinite(), [] { FAIL(); });
  EXPECT_EQ(timer.size(), 0u);
}

TEST_F(TimerByHandTest, AnActionMayAddAndDropEntries) {
  Timer::Entry entry;
  int runs = 0;
  entry = AddAfter(hours(1), [&] {
    ++runs;
    entry = AddAfter(hours(1), [&] { ++runs; });
  });
  RunDueAfter(hours(1));
  EXPECT_EQ(runs, 1);
  RunDueAfter(hours(1));
  EXPECT_EQ(runs, 2);
}

TEST(TimerTest, ManyThreadsAddAndTakeBack) {
  constexpr int kThreads = 4, kEach = 500;
  std::atomic<int> done{0};
  Timer timer;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kEach; ++i) {
          const auto never = timer.Add(Deadline::After(hours(1)), [&] { done = 1'000'000; });
          const auto soon = timer.Add(Deadline::After({}), [&] { ++done; });
          timer.RunDue();
        }
      });
    }
  }
  EXPECT_EQ(timer.size(), 0u);
  EXPECT_LE(done, kThreads * kEach);
  EXPECT_GT(done, 0);
}

}  // namespace
}  // namespace pipeserve
