// How whoever brought a request, or runs it, says that nobody waits for it any more.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace pipeserve {

// Raised once, heard by all who listen then. Thread-safe.
class CancelToken {
 public:
  bool raised() const { return raised_.load(std::memory_order_acquire); }

  // Calls the listeners, on this thread and with no lock held. Idempotent.
  void Raise() EXCLUDES(mutex_) {
    std::vector<Listener> listeners;
    {
      MutexLock lock(mutex_);
      if (raised_.exchange(true)) return;
      listeners = std::exchange(listeners_, {});
      calling_ = true;
    }
    for (const Listener& listener : listeners) listener.call();
    {
      MutexLock lock(mutex_);
      calling_ = false;
    }
    called_.NotifyAll();
  }

  // `listener` is called once when the token is raised: now, when it already is. Returns what
  // Forget() takes.
  uint64_t Listen(std::function<void()> listener) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (!raised()) {
        listeners_.push_back({++last_number_, std::move(listener)});
        return last_number_;
      }
    }
    listener();
    return 0;
  }

  // The listener does not run any more once this returns. Not for listeners themselves.
  void Forget(uint64_t number) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (calling_) called_.Wait(mutex_);
    std::erase_if(listeners_, [number](const Listener& each) { return each.number == number; });
  }

 private:
  struct Listener {
    uint64_t number;
    std::function<void()> call;
  };

  std::atomic<bool> raised_{false};  // Written under the lock.
  Mutex mutex_;
  CondVar called_;
  bool calling_ GUARDED_BY(mutex_) = false;
  uint64_t last_number_ GUARDED_BY(mutex_) = 0;
  std::vector<Listener> listeners_ GUARDED_BY(mutex_);
};

// Listens while it lives.
class CancelListener {
 public:
  // `token` may be null, which is never raised; else it outlives this.
  CancelListener(CancelToken* token, std::function<void()> listener)
      : token_(token), number_(token == nullptr ? 0 : token->Listen(std::move(listener))) {}
  ~CancelListener() {
    if (token_ != nullptr) token_->Forget(number_);
  }
  CancelListener(const CancelListener&) = delete;
  CancelListener& operator=(const CancelListener&) = delete;

 private:
  CancelToken* const token_;
  const uint64_t number_;
};

}  // namespace pipeserve
