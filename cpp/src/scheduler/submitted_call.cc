#include "scheduler/submitted_call.h"

#include <optional>
#include <utility>

#include "scheduler/request_scope.h"

namespace pipeserve {

SubmittedCall::Outcome::Outcome(Result<Results> given)
    : results(std::move(given)),
      kept(results.ok() ? FailedPrecondition("the call keeps no outputs") : results.status()) {}

SubmittedCall::Outcome::Outcome(Result<KeptResults> given)
    : results(given.ok() ? FailedPrecondition("the call keeps its outputs") : given.status()),
      kept(std::move(given)) {}

SubmittedCall::Outcome::Outcome(const Status& error) : results(error), kept(error) {}

bool SubmittedCall::done() const {
  MutexLock lock(mutex_);
  return done_;
}

bool SubmittedCall::running() const {
  MutexLock lock(mutex_);
  return running_ && !done_;
}

bool SubmittedCall::WaitFor(std::chrono::nanoseconds timeout) const {
  const Deadline deadline = Deadline::After(timeout);
  MutexLock lock(mutex_);
  while (!done_) {
    if (!changed_.WaitUntil(mutex_, deadline)) return done_;
  }
  return true;
}

bool SubmittedCall::Cancel() {
  Work unused;  // Frees the inputs without the lock.
  MutexLock lock(mutex_);
  if (running_ || done_) return false;
  unused = std::move(work_);
  outcome_ = Cancelled("the call was taken back");
  done_ = true;
  changed_.NotifyAll();
  return true;
}

void SubmittedCall::Run() {
  Work work;
  {
    MutexLock lock(mutex_);
    if (done_) return;
    running_ = true;
    work = std::move(work_);
  }
  Outcome outcome = Unknown();
  {
    std::optional<RequestScope> scope;
    if (arena_ != nullptr) scope.emplace(*arena_);
    outcome = work();
    work = nullptr;
  }
  MutexLock lock(mutex_);
  if (!done_) {
    outcome_ = std::move(outcome);
    done_ = true;
  }
  running_ = false;
  changed_.NotifyAll();
}

void SubmittedCall::Abandon(const Status& reason) {
  Work unused;
  MutexLock lock(mutex_);
  if (done_) return;
  unused = std::move(work_);
  outcome_ = reason;
  done_ = true;
  changed_.NotifyAll();
}

void SubmittedCall::AwaitEnd() {
  MutexLock lock(mutex_);
  while (running_) changed_.Wait(mutex_);
}

}  // namespace pipeserve
