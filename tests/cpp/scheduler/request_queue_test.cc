#include "scheduler/request_queue.h"

#include <thread>

#include "scheduler/fakes.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using Push = RequestQueue::Push;

class RequestQueueTest : public ::testing::Test {
 protected:
  Push TryPush(uint64_t number, uint64_t id) {
    QueuedRequest request{
        std::make_shared<RequestArena>(RequestInfo{.id = id}, std::vector<Instance>{}, nullptr)};
    return queue_.TryPush(number, request);
  }
  // Of the request that is next.
  uint64_t PopId() {
    const auto request = queue_.Pop();
    return request.has_value() ? request->arena->context().request_id : 0;
  }

  RequestQueue queue_{2};
};

TEST_F(RequestQueueTest, FirstComeFirstServed) {
  const uint64_t first = queue_.NextNumber(), second = queue_.NextNumber();
  EXPECT_EQ(TryPush(second, 20), Push::kDone);
  EXPECT_EQ(TryPush(first, 10), Push::kDone);
  EXPECT_EQ(PopId(), 10u);
  EXPECT_EQ(PopId(), 20u);
}

TEST_F(RequestQueueTest, OneThatLeavesFreesItsPlaceAtOnce) {
  EXPECT_EQ(TryPush(1, 10), Push::kDone);
  EXPECT_EQ(TryPush(2, 20), Push::kDone);
  EXPECT_EQ(TryPush(3, 30), Push::kFull);
  queue_.Remove(1);
  queue_.Remove(1);
  EXPECT_EQ(queue_.size(), 1u);
  EXPECT_EQ(TryPush(4, 40), Push::kDone);
  EXPECT_EQ(PopId(), 20u);
  EXPECT_EQ(PopId(), 40u);
}

TEST_F(RequestQueueTest, ClosingGivesBackWhatWaitsAndEndsWaits) {
  {
    std::jthread waiting([&] { EXPECT_EQ(PopId(), 0u); });
    EXPECT_TRUE(queue_.Close().empty());
  }
  EXPECT_EQ(TryPush(1, 10), Push::kClosed);
  RequestQueue other(2);
  QueuedRequest request{
      std::make_shared<RequestArena>(RequestInfo{.id = 5}, std::vector<Instance>{}, nullptr)};
  ASSERT_EQ(other.TryPush(1, request), Push::kDone);
  const auto waited = other.Close();
  ASSERT_EQ(waited.size(), 1u);
  EXPECT_EQ(waited[0].arena->context().request_id, 5u);
  EXPECT_FALSE(other.Pop().has_value());
}

}  // namespace
}  // namespace pipeserve
