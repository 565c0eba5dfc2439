// Mutex and condition variable with Clang's thread-safety annotations; plain std types underneath.
#pragma once

#include <condition_variable>
#include <mutex>

#include "base/clock.h"
#include "base/counters.h"

#if defined(__clang__)
#define PIPESERVE_ANNOTATE(x) __attribute__((x))
#else
#define PIPESERVE_ANNOTATE(x)
#endif

// Abseil, which comes with gRPC, has macros of the same names and meaning; ours stand.
#undef GUARDED_BY
#undef REQUIRES
#undef EXCLUDES
#undef ACQUIRE
#undef RELEASE
#undef CAPABILITY
#undef SCOPED_CAPABILITY
#undef NO_THREAD_SAFETY_ANALYSIS

#define GUARDED_BY(mutex) PIPESERVE_ANNOTATE(guarded_by(mutex))
#define REQUIRES(...) PIPESERVE_ANNOTATE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) PIPESERVE_ANNOTATE(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) PIPESERVE_ANNOTATE(acquire_capability(__VA_ARGS__))
#define RELEASE(...) PIPESERVE_ANNOTATE(release_capability(__VA_ARGS__))
#define CAPABILITY(name) PIPESERVE_ANNOTATE(capability(name))
#define SCOPED_CAPABILITY PIPESERVE_ANNOTATE(scoped_lockable)
#define NO_THREAD_SAFETY_ANALYSIS PIPESERVE_ANNOTATE(no_thread_safety_analysis)

namespace pipeserve {

class CAPABILITY("mutex") Mutex {
 public:
  void Lock() ACQUIRE() { mutex_.lock(); }
  void Unlock() RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() RELEASE() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits on a Mutex that the caller holds. Always wait for a predicate in a loop.
class CondVar {
 public:
  void Wait(Mutex& mutex) REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    CountWakeup();
    lock.release();
  }

  // False when the deadline passed before a notification.
  bool WaitUntil(Mutex& mutex, Deadline deadline) REQUIRES(mutex) {
    // The kernel may sleep for its timer's slack even then.
    if (deadline.HasPassed()) return false;
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    bool notified = true;
    if (deadline.is_infinite()) {
      condition_.wait(lock);
    } else {
      notified = condition_.wait_until(lock, deadline.time()) == std::cv_status::no_timeout;
    }
    CountWakeup();
    lock.release();
    return notified;
  }

  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace pipeserve
