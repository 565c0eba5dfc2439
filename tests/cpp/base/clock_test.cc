#include "base/clock.h"

#include "support/matchers.h"

namespace pipeserve {
namespace {

using std::chrono::milliseconds;

TEST(DeadlineTest, PassesWhenTheClockReachesIt) {
  FakeClock clock;
  const Deadline deadline = Deadline::After(milliseconds(10), clock);
  EXPECT_FALSE(deadline.HasPassed(clock));
  EXPECT_EQ(deadline.Remaining(clock), milliseconds(10));
  clock.Advance(milliseconds(10));
  EXPECT_TRUE(deadline.HasPassed(clock));
  EXPECT_EQ(deadline.Remaining(clock), Duration::zero());
}

TEST(DeadlineTest, InfiniteNeverPassesAndIsTheLaterOne) {
  FakeClock clock;
  const Deadline soon = Deadline::After(milliseconds(1), clock);
  clock.Advance(std::chrono::hours(24 * 365));
  EXPECT_FALSE(Deadline::Infinite().HasPassed(clock));
  EXPECT_EQ(Earlier(soon, Deadline::Infinite()), soon);
}

}  // namespace
}  // namespace pipeserve
