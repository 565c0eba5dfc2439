#include "base/doorbell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>

#include "base/counters.h"

namespace pipeserve {
namespace {

// Deadlines are of the clock that the futex takes.
static_assert(std::is_same_v<TimePoint::clock, std::chrono::steady_clock>);

// Returns when the word is not `seen` any more, is woken, is interrupted, or the deadline passed;
// false for the last.
bool SleepWhile(std::atomic<uint32_t>& word, uint32_t seen, Deadline deadline) {
  const Duration since_boot = deadline.time().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
  const timespec until{.tv_sec = seconds.count(), .tv_nsec = (since_boot - seconds).count()};
  // FUTEX_WAIT_BITSET takes an absolute time of CLOCK_MONOTONIC.
  return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, seen,
                 deadline.is_infinite() ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY) == 0 ||
         errno != ETIMEDOUT;
}

void Wake(std::atomic<uint32_t>& word, uint32_t sleepers) {
  syscall(SYS_futex, &word, FUTEX_WAKE, sleepers, nullptr, nullptr, 0);
}

void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

void Doorbell::RingUpTo(uint32_t sleepers) {
  // Either this sees the sleeper that has announced itself, or the sleeper's last look at the
  // value, in the kernel, sees this change: both sides write before they read, in one total order.
  value_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) != 0) Wake(value_, sleepers);
}

void Doorbell::Alarm() {
  value_.fetch_add(1, std::memory_order_seq_cst);
  Wake(value_, kAll);
}

bool Doorbell::WaitWhile(uint32_t seen, Deadline deadline, Duration spin) {
  if (value() != seen) return true;
  if (spin > Duration::zero()) {
    const Deadline until = Earlier(Deadline::After(spin), deadline);
    while (!until.HasPassed()) {
      if (value() != seen) return true;
      Relax();
    }
  }
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  bool in_time = true;
  while (value() == seen && in_time) {
    in_time = SleepWhile(value_, seen, deadline);
    CountWakeup();
  }
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
  return value() != seen;
}

}  // namespace pipeserve
