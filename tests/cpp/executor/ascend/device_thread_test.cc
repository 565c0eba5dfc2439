#include "executor/ascend/device_thread.h"

#include <atomic>
#include <thread>
#include <vector>

#include "support/gate.h"
#include "support/matchers.h"

namespace pipeserve::ascend {
namespace {

TEST(DeviceThreadTest, DoesAllWorkOnOneThreadInOrder) {
  DeviceThread thread;
  std::thread::id first, second;
  std::vector<int> order;
  ASSERT_OK(thread.Do(
      [&] { return first = std::this_thread::get_id(), order.push_back(1), OkStatus(); }));
  EXPECT_ERROR(thread.Do([&] {
    return second = std::this_thread::get_id(), order.push_back(2), Internal("no");
  }),
               kInternal, "no");
  EXPECT_EQ(first, second);
  EXPECT_NE(first, std::this_thread::get_id());
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(DeviceThreadTest, WhatHasNotBegunByItsDeadlineNeverDoes) {
  Gate gate;
  DeviceThread thread;
  std::thread other([&] { EXPECT_OK(thread.Do([&] { return gate.Pass(), OkStatus(); })); });
  ASSERT_TRUE(gate.WaitForArrivals(1));
  std::atomic<bool> ran{false};
  const auto work = [&] { return ran = true, OkStatus(); };
  EXPECT_ERROR(thread.Do(work, Deadline::After(std::chrono::milliseconds(1))), kDeadlineExceeded,
               "the deadline passed while other calls ran on the device");
  gate.Open();
  other.join();
  EXPECT_OK(thread.Do([] { return OkStatus(); }));
  EXPECT_FALSE(ran);
}

TEST(DeviceThreadTest, WhatHasBegunIsAwaitedPastItsDeadline) {
  DeviceThread thread;
  bool begun = false;
  while (!begun) {  // On a busy machine it may come too late.
    const Deadline deadline = Deadline::After(std::chrono::milliseconds(20));
    const Status status = thread.Do(
        [&] {
          begun = true;
          while (!deadline.HasPassed()) std::this_thread::yield();
          return OkStatus();
        },
        deadline);
    if (begun) EXPECT_OK(status);
  }
}

}  // namespace
}  // namespace pipeserve::ascend
