// Counts those inside something that others want to close.
#pragma once

#include "base/mutex.h"

namespace pipeserve {

// Thread-safe.
class CallGate {
 public:
  // False when the gate is closed; true obliges to Leave().
  bool Enter() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (closed_) return false;
    ++inside_;
    return true;
  }

  void Leave() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    // Notified under the lock: after it, Close() may return and the gate be gone.
    if (--inside_ == 0 && closed_) empty_.NotifyAll();
  }

  // Lets nobody in and waits for those inside. Idempotent.
  void Close() EXCLUDES(mutex_) { CloseUntil(Deadline::Infinite()); }

  // The same, but waits no longer than until `deadline`; whether nobody is inside any more.
  bool CloseUntil(Deadline deadline) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    closed_ = true;
    while (inside_ > 0) {
      if (!empty_.WaitUntil(mutex_, deadline)) return inside_ == 0;
    }
    return true;
  }

  int inside() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return inside_;
  }

 private:
  mutable Mutex mutex_;
  CondVar empty_;
  int inside_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace pipeserve
