// Time: a monotonic clock that tests can replace, and absolute deadlines made from it.
#pragma once

#include <atomic>
#include <chrono>

namespace pipeserve {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::steady_clock::time_point;

// Where "now" comes from. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;

  // The monotonic clock of this machine.
  static const Clock& System();
};

// A clock that stands still until a test moves it.
class FakeClock : public Clock {
 public:
  TimePoint Now() const override { return TimePoint(Duration(now_.load())); }
  void Advance(Duration by) { now_.fetch_add(by.count()); }

 private:
  std::atomic<Duration::rep> now_{1'000'000'000};
};

// A moment after which an answer is worth nothing, or never. A value type.
class Deadline {
 public:
  Deadline() = default;  // Infinite.
  explicit Deadline(TimePoint time) : time_(time) {}

  static Deadline Infinite() { return Deadline(); }
  static Deadline After(Duration duration, const Clock& clock = Clock::System()) {
    return Deadline(clock.Now() + duration);
  }

  bool is_infinite() const { return time_ == TimePoint::max(); }
  TimePoint time() const { return time_; }
  bool HasPassed(const Clock& clock = Clock::System()) const {
    return !is_infinite() && clock.Now() >= time_;
  }
  // Zero when it has passed; Duration::max() when infinite.
  Duration Remaining(const Clock& clock = Clock::System()) const;

  friend Deadline Earlier(Deadline a, Deadline b) { return a.time_ < b.time_ ? a : b; }
  friend bool operator==(const Deadline&, const Deadline&) = default;

 private:
  TimePoint time_ = TimePoint::max();
};

}  // namespace pipeserve
