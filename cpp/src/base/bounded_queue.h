// A FIFO queue with a fixed capacity that refuses instead of growing, and can be closed.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "base/mutex.h"

namespace pipeserve {

// Thread-safe. After Close() nothing is accepted, what is queued can still be taken, and Pop()
// returns nothing once it is empty.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  // False when full or closed; then `item` is left untouched with the caller.
  bool TryPush(T& item) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (closed_ || items_.size() >= capacity_) return false;
      items_.push_back(std::move(item));
    }
    available_.NotifyOne();
    return true;
  }

  // Waits for an item; nothing when the queue is closed and empty, or the deadline passed.
  std::optional<T> Pop(Deadline deadline = Deadline::Infinite()) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (items_.empty()) {
      if (closed_) return std::nullopt;
      if (!available_.WaitUntil(mutex_, deadline) && items_.empty()) return std::nullopt;
    }
    return TakeFront();
  }

  // An item that is there. Not the same as Pop() with a deadline that has passed: a wait for no
  // time takes as long as the kernel's timer is coarse, 50 us.
  std::optional<T> TryPop() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (items_.empty()) return std::nullopt;
    return TakeFront();
  }

  void Close() EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      closed_ = true;
    }
    available_.NotifyAll();
  }

  size_t size() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return items_.size();
  }

 private:
  T TakeFront() REQUIRES(mutex_) {
    T item(std::move(items_.front()));
    items_.pop_front();
    return item;
  }

  const size_t capacity_;
  mutable Mutex mutex_;
  CondVar available_;
  std::deque<T> items_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace pipeserve
