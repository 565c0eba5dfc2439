#include "base/doorbell.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <thread>
#include <vector>

#include "base/shared_memory.h"
#include "support/fork.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using std::chrono::milliseconds;

Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }

// Two doorbells in memory that a forked child shares.
class DoorbellTest : public ::testing::Test {
 protected:
  DoorbellTest()
      : memory_(SharedMemory::Create("doorbells", 2 * sizeof(Doorbell)).value()),
        there_(new(memory_.data()) Doorbell),
        back_(new(memory_.data() + sizeof(Doorbell)) Doorbell) {}

  const SharedMemory memory_;
  Doorbell* const there_;
  Doorbell* const back_;
};

TEST_F(DoorbellTest, RungBeforeTheWaitEndsIt) {
  const uint32_t seen = there_->value();
  there_->Ring();
  EXPECT_TRUE(there_->WaitWhile(seen, Soon()));
  EXPECT_TRUE(there_->WaitWhile(seen, Deadline()));
}

TEST_F(DoorbellTest, DeadlineEndsTheWait) {
  for (const Duration spin :
       {Duration::zero(), Duration(milliseconds(1)), Duration(milliseconds(50))}) {
    const TimePoint begin = Clock::System().Now();
    const Deadline deadline = Deadline::After(milliseconds(20));
    EXPECT_FALSE(there_->WaitWhile(there_->value(), deadline, spin));
    EXPECT_GE(Clock::System().Now() - begin, milliseconds(20));
  }
  EXPECT_FALSE(there_->WaitWhile(there_->value(), Deadline(TimePoint())));
}

TEST_F(DoorbellTest, EveryRingIsHeardAcrossProcesses) {
  SKIP_IF_FORK_MAY_HANG();
  constexpr int kRounds = 5'000;
  const pid_t child = fork();
  if (child == 0) {
    for (uint32_t round = 0; round < kRounds; ++round) {
      if (!there_->WaitWhile(round, Soon())) _exit(1);
      back_->Ring();
    }
    _exit(0);
  }
  for (uint32_t round = 0; round < kRounds; ++round) {
    there_->Ring();
    ASSERT_TRUE(back_->WaitWhile(round, Soon())) << round;
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(DoorbellTest, OneRingWakesAllSleepersOfAllProcesses) {
  SKIP_IF_FORK_MAY_HANG();
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    children.push_back(fork());
    if (children.back() != 0) continue;
    back_->Ring();
    _exit(there_->WaitWhile(0, Soon()) ? 0 : 1);
  }
  for (uint32_t seen = 0; seen < 4; seen = back_->value()) {
    ASSERT_TRUE(back_->WaitWhile(seen, Soon()));
  }
  there_->Ring();
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
}

TEST_F(DoorbellTest, SpinningWaiterHearsARingToo) {
  std::jthread ringer([this] { there_->RingOne(); });
  EXPECT_TRUE(there_->WaitWhile(0, Soon(), milliseconds(5)));
}

TEST_F(DoorbellTest, RingMakesVisibleWhatWasWrittenBefore) {
  int written = 0;  // Not atomic: ThreadSanitizer holds the promise.
  std::jthread ringer([&] {
    written = 1;
    there_->Ring();
  });
  ASSERT_TRUE(there_->WaitWhile(0, Soon()));
  EXPECT_EQ(written, 1);
}

TEST_F(DoorbellTest, KilledSleeperDoesNotDisturbTheOthers) {
  SKIP_IF_FORK_MAY_HANG();
  const pid_t child = fork();
  if (child == 0) {
    back_->Ring();
    (void)there_->WaitWhile(0, Deadline());
    _exit(1);
  }
  ASSERT_TRUE(back_->WaitWhile(0, Soon()));
  kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  std::jthread ringer([this] { there_->Ring(); });
  EXPECT_TRUE(there_->WaitWhile(0, Soon()));
}

TEST_F(DoorbellTest, AlarmIsHeardEvenIfTheSleepersAreNotCounted) {
  std::jthread sleeper([this] {
    back_->Ring();
    EXPECT_TRUE(there_->WaitWhile(0, Soon()));
  });
  ASSERT_TRUE(back_->WaitWhile(0, Soon()));
  // As a hostile peer would, when the sleeper has counted itself.
  auto& sleepers = reinterpret_cast<std::atomic<uint32_t>*>(there_)[1];
  while (sleepers.exchange(0) == 0) std::this_thread::yield();
  there_->Alarm();
}

}  // namespace
}  // namespace pipeserve
