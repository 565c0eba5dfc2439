#include "base/mutex.h"

#include "pipeserve/counters.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

TEST(CondVarTest, DoesNotSleepForADeadlineThatHasPassed) {
  Mutex mutex;
  CondVar condition;
  const uint64_t wakeups = ReadProcessCounters().thread_wakeups;
  {
    MutexLock lock(mutex);
    EXPECT_FALSE(condition.WaitUntil(mutex, Deadline::After(Duration::zero())));
    EXPECT_FALSE(condition.WaitUntil(mutex, Deadline(TimePoint())));
  }
  EXPECT_EQ(ReadProcessCounters().thread_wakeups, wakeups);
}

TEST(CondVarTest, SleepsUntilADeadlineThatIsToCome) {
  Mutex mutex;
  CondVar condition;
  const Deadline deadline = Deadline::After(std::chrono::milliseconds(5));
  MutexLock lock(mutex);
  while (condition.WaitUntil(mutex, deadline)) {  // It may wake for no reason.
  }
  EXPECT_TRUE(deadline.HasPassed());
}

}  // namespace
}  // namespace pipeserve
