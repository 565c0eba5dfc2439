// What this process has done so far, for figures per request: differences of these by the number of
// requests between.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace pipeserve {

// Each on a cache line of its own, because many threads add.
struct Counters {
  // Bytes of tensors that were copied from one place in memory to another.
  alignas(64) std::atomic<uint64_t> copied_bytes{0};
  // How often a thread of ours that slept went on: each costs a switch of threads.
  alignas(64) std::atomic<uint64_t> thread_wakeups{0};

  static Counters& Global() {
    static Counters counters;
    return counters;
  }
};

inline void CountCopy(size_t bytes) {
  Counters::Global().copied_bytes.fetch_add(bytes, std::memory_order_relaxed);
}
inline void CountWakeup() {
  Counters::Global().thread_wakeups.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace pipeserve
