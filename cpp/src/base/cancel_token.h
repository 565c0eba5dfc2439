// How whoever brought a request says that nobody waits for it any more.
#pragma once

#include <functional>
#include <utility>

#include "base/mutex.h"

namespace pipeserve {

// Raised once, heard by one listener. Thread-safe.
class CancelToken {
 public:
  // Calls the listener, on this thread and with no lock held. Idempotent.
  void Raise() EXCLUDES(mutex_) {
    std::function<void()> listener;
    {
      MutexLock lock(mutex_);
      if (std::exchange(raised_, true)) return;
      listener = std::move(listener_);
    }
    if (listener) listener();
  }

  // `listener` is called once when the token is raised: now, when it already is.
  void Listen(std::function<void()> listener) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (!raised_) {
        listener_ = std::move(listener);
        return;
      }
    }
    listener();
  }

 private:
  Mutex mutex_;
  bool raised_ GUARDED_BY(mutex_) = false;
  std::function<void()> listener_ GUARDED_BY(mutex_);
};

}  // namespace pipeserve
