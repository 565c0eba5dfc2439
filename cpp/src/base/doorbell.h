// How a process wakes another one through memory that both map.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace pipeserve {

// A word that changes when it is rung, and sleepers that wait for that (a futex). It lies in shared
// memory; all bytes zero is a doorbell that nobody has rung. Any thread of any process may call
// everything. What the ringer wrote before is visible to whoever sees the change.
//
//   const uint32_t seen = bell.value();
//   if (!ThereIsWork()) bell.WaitWhile(seen, deadline);
//
// loses no ring: one that comes after value() ends the wait. Nothing that a hostile peer writes
// here does worse than end a wait early or let it last until its deadline.
class alignas(64) Doorbell {
 public:
  uint32_t value() const { return value_.load(std::memory_order_acquire); }

  // Changes the value and wakes all sleepers, or one. Enters the kernel only if one sleeps; a
  // sleeper that was killed counts as one for ever.
  void Ring() { RingUpTo(kAll); }
  void RingOne() { RingUpTo(1); }

  // Changes the value and wakes all sleepers even if none seems to be there: for the end of
  // everything, when a hostile peer may have written to this.
  void Alarm();

  // Waits until the value is not `seen`: false when the deadline passed before. Watches the value
  // for `spin` before it sleeps, which pays only while the ringer runs on another core.
  [[nodiscard]] bool WaitWhile(uint32_t seen, Deadline deadline, Duration spin = Duration::zero());

 private:
  static constexpr uint32_t kAll = 0x7fff'ffff;

  void RingUpTo(uint32_t sleepers);

  std::atomic<uint32_t> value_{0};
  std::atomic<uint32_t> sleepers_{0};
};
static_assert(sizeof(Doorbell) == 64);
static_assert(std::atomic<uint32_t>::is_always_lock_free);

}  // namespace pipeserve
