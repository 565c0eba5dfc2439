#include "scheduler/request_scope.h"

#include <gtest/gtest.h>

#include <thread>

namespace pipeserve {
namespace {

std::shared_ptr<RequestArena> Arena(int seconds, uint64_t id) {
  return std::make_shared<RequestArena>(
      RequestInfo{Deadline(TimePoint(std::chrono::seconds(seconds))), id}, std::vector<Instance>{},
      nullptr);
}

TEST(RequestScopeTest, OutsideOfEveryScopeThereIsNoRequest) {
  EXPECT_EQ(RequestScope::Current(), nullptr);
  {
    const auto arena = Arena(1, 1);
    const RequestScope scope(*arena);
    EXPECT_EQ(RequestScope::Current(), arena.get());
  }
  EXPECT_EQ(RequestScope::Current(), nullptr);
  EXPECT_TRUE(RequestScope::Context().deadline.is_infinite());
  EXPECT_EQ(RequestScope::Context().request_id, 0u);
}

TEST(RequestScopeTest, TheInnermostScopeHoldsAndTheOuterOneComesBack) {
  const auto outer = Arena(1, 1), inner = Arena(2, 2);
  const RequestScope outer_scope(*outer);
  {
    const RequestScope inner_scope(*inner);
    EXPECT_EQ(RequestScope::Context().deadline, inner->context().deadline);
    EXPECT_EQ(RequestScope::Context().request_id, 2u);
  }
  EXPECT_EQ(RequestScope::Context().deadline, outer->context().deadline);
  EXPECT_EQ(RequestScope::Context().request_id, 1u);
}

TEST(RequestScopeTest, AnotherThreadIsOutside) {
  const auto arena = Arena(1, 1);
  const RequestScope scope(*arena);
  std::jthread([] { EXPECT_EQ(RequestScope::Current(), nullptr); }).join();
  EXPECT_EQ(RequestScope::Current(), arena.get());
}

}  // namespace
}  // namespace pipeserve
