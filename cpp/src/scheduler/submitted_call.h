// A call on its way through the call pool.
#pragma once

#include <functional>

#include "base/mutex.h"
#include "pipeserve/pending_call.h"

namespace pipeserve {

class RequestArena;

// Thread-safe.
class SubmittedCall final : public PendingCall {
 public:
  // What a call comes to: either kind of results, or an error in place of both.
  struct Outcome {
    Outcome(Result<Results> given);      // NOLINT: implicit by design.
    Outcome(Result<KeptResults> given);  // NOLINT: implicit by design.
    Outcome(const Status& error);        // NOLINT: implicit by design.

    Result<Results> results;
    Result<KeptResults> kept;
  };
  using Work = std::function<Outcome()>;

  // `arena` is the request on whose behalf it runs, or null. It outlives every Run(): see
  // RequestArena::End().
  SubmittedCall(RequestArena* arena, Work work) : arena_(arena), work_(std::move(work)) {}

  bool done() const override EXCLUDES(mutex_);
  bool running() const override EXCLUDES(mutex_);
  bool WaitFor(std::chrono::nanoseconds timeout) const override EXCLUDES(mutex_);
  const Result<Results>& result() const override { return outcome_.results; }
  const Result<KeptResults>& kept() const override { return outcome_.kept; }
  bool Cancel() override EXCLUDES(mutex_);

  // Does the work on this thread, unless the call is done.
  void Run() EXCLUDES(mutex_);
  // Nobody waits any more: it is done with `reason`, unless it is done already. What runs goes on,
  // its results are dropped.
  void Abandon(const Status& reason) EXCLUDES(mutex_);
  // Waits until no thread is inside Run().
  void AwaitEnd() EXCLUDES(mutex_);

 private:
  RequestArena* const arena_;
  mutable Mutex mutex_;
  mutable CondVar changed_;
  Work work_ GUARDED_BY(mutex_);
  bool running_ GUARDED_BY(mutex_) = false;
  bool done_ GUARDED_BY(mutex_) = false;
  Outcome outcome_ = Unknown();  // Written once, before done_ is set; then only read.

  static Status Unknown() { return Internal("the call is not done"); }
};

}  // namespace pipeserve
