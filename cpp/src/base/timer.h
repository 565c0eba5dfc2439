// Actions that happen at deadlines, on one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"

namespace pipeserve {

// Thread-safe. Actions are quick: each delays those after it.
class Timer {
 public:
  using Action = std::function<void()>;

  // An action that still waits. Its end takes the action back, which may just be running. The timer
  // outlives it.
  class Entry {
   public:
    Entry() = default;  // Nothing.
    Entry(Entry&& other) noexcept { *this = std::move(other); }
    Entry& operator=(Entry&& other) noexcept {
      std::swap(timer_, other.timer_);
      std::swap(key_, other.key_);
      return *this;
    }
    ~Entry() {
      if (timer_ != nullptr) timer_->Remove(key_);
    }

   private:
    friend class Timer;
    Timer* timer_ = nullptr;
    std::pair<TimePoint, uint64_t> key_;
  };

  // By the machine's clock, on a thread of its own.
  Timer();
  // By a clock that a test moves, and that outlives the timer: actions happen in RunDue() alone.
  explicit Timer(const Clock& clock) : clock_(clock) {}
  ~Timer();  // What is not due yet never happens.

  const Clock& clock() const { return clock_; }

  // Has `action` done once at `deadline`, with no lock held; never when that is infinite.
  [[nodiscard]] Entry Add(Deadline deadline, Action action) EXCLUDES(mutex_);

  // Does what is due now on the calling thread.
  void RunDue() EXCLUDES(mutex_);

  size_t size() const EXCLUDES(mutex_);

 private:
  using Key = std::pair<TimePoint, uint64_t>;  // The number tells equal deadlines apart.

  void Remove(const Key& key) EXCLUDES(mutex_);
  void Run() EXCLUDES(mutex_);
  // The first action that is due, taken out; null when none is.
  Action TakeDue() REQUIRES(mutex_);

  const Clock& clock_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::map<Key, Action> actions_ GUARDED_BY(mutex_);
  uint64_t last_number_ GUARDED_BY(mutex_) = 0;
  // Until when the thread sleeps: only an earlier action wakes it.
  TimePoint sleeps_until_ GUARDED_BY(mutex_) = TimePoint::min();
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::jthread thread_;  // Last, so it is joined before anything it reads is destroyed.
};

}  // namespace pipeserve
