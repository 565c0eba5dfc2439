#include "base/timer.h"

namespace pipeserve {

Timer::Timer() : clock_(Clock::System()), thread_([this] { Run(); }) {}

Timer::~Timer() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
}

Timer::Entry Timer::Add(Deadline deadline, Action action) {
  Entry entry;
  if (deadline.is_infinite()) return entry;
  bool wake = false;
  {
    MutexLock lock(mutex_);
    entry.timer_ = this;
    entry.key_ = {deadline.time(), ++last_number_};
    actions_.emplace(entry.key_, std::move(action));
    wake = deadline.time() < sleeps_until_;
  }
  if (wake) changed_.NotifyOne();
  return entry;
}

void Timer::Remove(const Key& key) {
  Action removed;  // What it holds is destroyed without the lock.
  MutexLock lock(mutex_);
  const auto found = actions_.find(key);
  if (found == actions_.end()) return;
  removed = std::move(found->second);
  actions_.erase(found);
}

Timer::Action Timer::TakeDue() {
  if (actions_.empty() || !Deadline(actions_.begin()->first.first).HasPassed(clock_)) return {};
  Action action = std::move(actions_.begin()->second);
  actions_.erase(actions_.begin());
  return action;
}

void Timer::RunDue() {
  while (true) {
    Action action;
    {
      MutexLock lock(mutex_);
      action = TakeDue();
    }
    if (action == nullptr) return;
    action();
  }
}

void Timer::Run() {
  while (true) {
    RunDue();
    MutexLock lock(mutex_);
    if (stopping_) return;
    // Whatever was added meanwhile is seen here; what is added later wakes this thread.
    const Deadline next =
        actions_.empty() ? Deadline::Infinite() : Deadline(actions_.begin()->first.first);
    if (next.HasPassed(clock_)) continue;
    sleeps_until_ = next.time();
    changed_.WaitUntil(mutex_, next);
    sleeps_until_ = TimePoint::min();
  }
}

size_t Timer::size() const {
  MutexLock lock(mutex_);
  return actions_.size();
}

}  // namespace pipeserve
