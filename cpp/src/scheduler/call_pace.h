// How long the calls of a graph take, learned from those that were made.
#pragma once

#include <algorithm>
#include <atomic>

#include "base/clock.h"

namespace pipeserve {

// Thread-safe; of two threads that add at once one may go unheard.
class CallPace {
 public:
  // A call that is briefer is not worth waking another thread for, which takes longer.
  static constexpr Duration kBrief = std::chrono::microseconds(10);

  // Whether `count` instances will be done within kBrief, after some calls that were.
  bool IsBrief(size_t count) const {
    return average_.load(std::memory_order_relaxed) * static_cast<Duration::rep>(count) <
           kBrief.count();
  }

  // `count` instances, at least one, have taken `duration`. An average in which the last calls
  // count most, and one that was interrupted for long counts little.
  void Add(Duration duration, size_t count) {
    const Duration::rep one =
        std::min(duration / static_cast<Duration::rep>(count), kLongest).count();
    const Duration::rep average = average_.load(std::memory_order_relaxed);
    average_.store(average + (one - average) / kMemory, std::memory_order_relaxed);
  }

 private:
  static constexpr Duration kLongest = 4 * kBrief;
  static constexpr Duration::rep kMemory = 8;  // Calls that the average remembers, about.

  std::atomic<Duration::rep> average_{kLongest.count()};  // Nanoseconds of one instance.
};

}  // namespace pipeserve
