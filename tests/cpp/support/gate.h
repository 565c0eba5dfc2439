// A door that threads wait at until a test opens it.
#pragma once

#include "base/mutex.h"

namespace pipeserve {

class Gate {
 public:
  ~Gate() { Open(); }
  void Open() {
    MutexLock lock(mutex_);
    open_ = true;
    changed_.NotifyAll();
  }
  // Waits until it is open.
  void Pass() {
    MutexLock lock(mutex_);
    ++arrived_;
    changed_.NotifyAll();
    while (!open_) changed_.Wait(mutex_);
  }
  // False when fewer than `count` have arrived within `limit`.
  bool WaitForArrivals(int count, Duration limit = std::chrono::seconds(10)) {
    const Deadline deadline = Deadline::After(limit);
    MutexLock lock(mutex_);
    while (arrived_ < count) {
      if (!changed_.WaitUntil(mutex_, deadline)) return arrived_ >= count;
    }
    return true;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int arrived_ GUARDED_BY(mutex_) = 0;
  bool open_ GUARDED_BY(mutex_) = false;
};

}  // namespace pipeserve
