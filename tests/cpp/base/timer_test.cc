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

TEST(TimerTest, ActionsHappenInTheOrderOfTheirDeadlines) {
  FakeClock clock;
  Timer timer(clock);
  std::vector<int> order;
  const auto add = [&](int number, hours after) {
    return timer.Add(Deadline::After(after, clock), [&order, number] { order.push_back(number); });
  };
  const Timer::Entry third = add(3, hours(3)), first = add(1, hours(1)), second = add(2, hours(1));
  timer.RunDue();
  EXPECT_EQ(order, std::vector<int>{});
  clock.Advance(hours(2));
  timer.RunDue();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  clock.Advance(hours(2));
  timer.RunDue();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(timer.size(), 0u);
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

TEST(TimerTest, AnEntryThatIsGoneTakesItsActionBack) {
  FakeClock clock;
  Timer timer(clock);
  const auto held = std::make_shared<int>(0);
  {
    Timer::Entry entry = timer.Add(Deadline::After(hours(1), clock), [held] { ++*held; });
    const Timer::Entry moved = std::move(entry);
    EXPECT_EQ(timer.size(), 1u);
  }
  EXPECT_EQ(held.use_count(), 1);
  clock.Advance(hours(2));
  timer.RunDue();
  EXPECT_EQ(*held, 0);
}

TEST(TimerTest, AnInfiniteDeadlineIsNoEntry) {
  Timer timer;
  const Timer::Entry entry = timer.Add(Deadline::Infinite(), [] { FAIL(); });
  EXPECT_EQ(timer.size(), 0u);
}

TEST(TimerTest, AnActionMayAddAndDropEntries) {
  FakeClock clock;
  Timer timer(clock);
  Timer::Entry entry;
  std::atomic<int> runs{0};
  entry = timer.Add(Deadline::After(hours(1), clock), [&] {
    ++runs;
    entry = timer.Add(Deadline::After(hours(1), clock), [&] { ++runs; });
  });
  clock.Advance(hours(1));
  timer.RunDue();
  EXPECT_EQ(runs, 1);
  clock.Advance(hours(1));
  timer.RunDue();
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
