// Who may have a call on the device: one for each slot.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"

namespace pipeserve::ascend {

// Thread-safe.
class CallSlots {
 public:
  explicit CallSlots(size_t count) {
    while (count-- > 0) free_.push_back(count);
  }

  // A free one, now or when one is given back; nothing when none was by `deadline`.
  std::optional<size_t> Take(Deadline deadline) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (free_.empty()) {
      if (!given_.WaitUntil(mutex_, deadline) && free_.empty()) return std::nullopt;
    }
    const size_t slot = free_.back();
    free_.pop_back();
    return slot;
  }

  void Give(size_t slot) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      free_.push_back(slot);
    }
    given_.NotifyOne();
  }

 private:
  Mutex mutex_;
  CondVar given_;
  std::vector<size_t> free_ GUARDED_BY(mutex_);
};

}  // namespace pipeserve::ascend
