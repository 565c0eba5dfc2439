#include "base/bounded_queue.h"

#include <memory>
#include <thread>

#include "support/matchers.h"

namespace pipeserve {
namespace {

TEST(BoundedQueueTest, RefusedItemStaysWithTheCaller) {
  BoundedQueue<std::unique_ptr<int>> queue(1);
  auto first = std::make_unique<int>(1), second = std::make_unique<int>(2);
  ASSERT_TRUE(queue.TryPush(first));
  EXPECT_FALSE(queue.TryPush(second));
  EXPECT_EQ(*second, 2);
}

TEST(BoundedQueueTest, ClosedQueueGivesWhatItHoldsThenNothing) {
  BoundedQueue<int> queue(4);
  int item = 7;
  ASSERT_TRUE(queue.TryPush(item));
  queue.Close();
  EXPECT_FALSE(queue.TryPush(item));
  EXPECT_EQ(queue.Pop(), 7);
  EXPECT_EQ(queue.Pop(), std::nullopt);
}

TEST(BoundedQueueTest, PopGivesUpAtItsDeadline) {
  BoundedQueue<int> queue(1);
  EXPECT_EQ(queue.Pop(Deadline::After(Duration(1))), std::nullopt);
}

TEST(BoundedQueueTest, TryPopTakesWhatIsThere) {
  BoundedQueue<int> queue(2);
  EXPECT_EQ(queue.TryPop(), std::nullopt);
  int item = 7;
  ASSERT_TRUE(queue.TryPush(item));
  queue.Close();
  EXPECT_EQ(queue.TryPop(), 7);
  EXPECT_EQ(queue.TryPop(), std::nullopt);
}

TEST(BoundedQueueTest, CloseWakesAWaitingThread) {
  BoundedQueue<int> queue(1);
  std::jthread waiter([&] { EXPECT_EQ(queue.Pop(), std::nullopt); });
  queue.Close();
}

TEST(BoundedQueueTest, EveryItemIsTakenOnceByManyThreads) {
  constexpr int kItems = 2000;
  BoundedQueue<int> queue(kItems);
  std::atomic<int> sum{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        while (auto item = queue.Pop()) sum += *item;
      });
    }
    for (int i = 1; i <= kItems; ++i) {
      int item = i;
      ASSERT_TRUE(queue.TryPush(item));
    }
    queue.Close();
  }
  EXPECT_EQ(sum, kItems * (kItems + 1) / 2);
}

}  // namespace
}  // namespace pipeserve
