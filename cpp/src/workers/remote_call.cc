#include "workers/remote_call.h"

#include "workers/session_results.h"

namespace pipeserve {

bool RemoteCall::running() const { return !done_ && Ask({}) == CallState::kRunning; }

bool RemoteCall::WaitFor(std::chrono::nanoseconds timeout) const {
  const Deadline deadline = Deadline::After(timeout);
  while (!done_) {
    // The front waits for less than it is asked to when that is long.
    if (Ask(deadline.Remaining()) == CallState::kDone) return true;
    if (deadline.HasPassed()) return false;
  }
  return true;
}

CallState RemoteCall::Ask(std::chrono::nanoseconds timeout) const {
  Result<WorkerMessage> reply = Cancelled("the call was taken back");  // With its request.
  if (session_->request() == request_) {
    reply = session_->Ask(
        {.kind = WorkerMessageKind::kWait, .number = number_, .nanoseconds = timeout.count()});
  }
  if (reply.ok() && reply->number != static_cast<uint64_t>(CallState::kDone)) {
    return static_cast<CallState>(reply->number);
  }
  MutexLock lock(mutex_);
  if (!done_) End(std::move(reply));  // Another thread may have been told before.
  return CallState::kDone;
}

void RemoteCall::End(Result<WorkerMessage> reply) const {
  if (!reply.ok()) {
    results_ = reply.status();
    kept_ = reply.status();
  } else if (keep_) {
    results_ = FailedPrecondition("the call keeps its outputs");
    kept_ = ToKeptResults(session_, *reply);
  } else {
    results_ = ToRunResults(*reply);
    kept_ = FailedPrecondition("the call keeps no outputs");
  }
  done_ = true;
}

bool RemoteCall::Cancel() {
  if (done_ || session_->request() != request_) return false;
  const Result<WorkerMessage> reply =
      session_->Ask({.kind = WorkerMessageKind::kCancel, .number = number_});
  return reply.ok() && reply->number == 1;
}

}  // namespace pipeserve
