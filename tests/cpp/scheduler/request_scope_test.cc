#include "scheduler/request_scope.h"

#include <gtest/gtest.h>

#include <thread>

namespace pipeserve {
namespace {

CallContext Context(int seconds, uint64_t id) {
  return {Deadline(TimePoint(std::chrono::seconds(seconds))), id};
}

TEST(RequestScopeTest, OutsideOfEveryScopeThereIsNoDeadline) {
  EXPECT_TRUE(RequestScope::Current().deadline.is_infinite());
  {
    const CallContext context = Context(1, 1);
    const RequestScope scope(context);
  }
  EXPECT_TRUE(RequestScope::Current().deadline.is_infinite());
  EXPECT_EQ(RequestScope::Current().request_id, 0u);
}

TEST(RequestScopeTest, TheInnermostScopeHoldsAndTheOuterOneComesBack) {
  const CallContext outer = Context(1, 1), inner = Context(2, 2);
  const RequestScope outer_scope(outer);
  {
    const RequestScope inner_scope(inner);
    EXPECT_EQ(RequestScope::Current().deadline, inner.deadline);
    EXPECT_EQ(RequestScope::Current().request_id, 2u);
  }
  EXPECT_EQ(RequestScope::Current().deadline, outer.deadline);
  EXPECT_EQ(RequestScope::Current().request_id, 1u);
}

TEST(RequestScopeTest, AnotherThreadIsOutside) {
  const CallContext context = Context(1, 1);
  const RequestScope scope(context);
  std::jthread([] { EXPECT_TRUE(RequestScope::Current().deadline.is_infinite()); }).join();
  EXPECT_EQ(RequestScope::Current().deadline, context.deadline);
}

}  // namespace
}  // namespace pipeserve
