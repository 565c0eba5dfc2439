// The owner of one request: its tensors, its deadline, whether anybody still waits, its answer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/cancel_token.h"
#include "base/mutex.h"
#include "base/timer.h"
#include "executor/executor.h"
#include "pipeserve/servable.h"
#include "scheduler/admission.h"
#include "scheduler/byte_account.h"
#include "scheduler/kept_output.h"
#include "scheduler/submitted_call.h"
#include "scheduler/weak_list.h"

namespace pipeserve {

// What is known of a request besides its inputs.
struct RequestInfo {
  Deadline deadline = {};
  uint64_t id = 0;  // For logs.
  // Raised when the client has gone. Null: it stays.
  std::shared_ptr<CancelToken> cancel = nullptr;
  Admission::Ticket ticket = {};
  // Counts the request's tensors. Null: the request makes its own account.
  std::shared_ptr<ByteAccount> account = nullptr;
  bool replayable = true;  // See PipelineSpec.
};

// A request is answered once, by whoever claims it first: the runner with results, or whoever finds
// that it is to be given up (its client left, its deadline passed, the servable stops) with an
// error. Whoever runs a request that was given up sees it in context().cancelled and status();
// its results are dropped, and what it kept is freed. Thread-safe.
class RequestArena {
 public:
  using Done = std::function<void(std::vector<Result<Instance>>)>;

  RequestArena(RequestInfo info, std::vector<Instance> inputs, Done done);

  // For the calls of this request. `cancelled` is raised once it is given up.
  const CallContext& context() const { return context_; }
  // Success, or why the request was given up.
  Status status() const EXCLUDES(mutex_);

  // Counts inputs, and what the request's calls and itself have given, until the last reference to
  // them is gone.
  const ByteAccount& account() const { return *account_; }
  // The same results, counted.
  std::vector<Result<Instance>> Charge(std::vector<Result<Instance>> results) const;

  // The inputs, to run the request; nothing when it was given up.
  std::optional<std::vector<Instance>> Begin() EXCLUDES(mutex_);

  // Keeps a call that was submitted on behalf of this request. Errors: why it was given up.
  Status AddCall(const std::shared_ptr<SubmittedCall>& call) EXCLUDES(mutex_);
  // Keeps the outputs of one instance for as long as somebody has their handles, at most until the
  // request ends or is given up. Errors: why it was given up.
  Result<ResidentTensors> Keep(const std::shared_ptr<const OutputOrigin>& origin, Instance outputs)
      EXCLUDES(mutex_);
  // Takes back the calls that nobody has waited for, awaits those that run, and frees what is kept:
  // nothing outlives the request. Before its answer, on the thread that runs it.
  void End() EXCLUDES(mutex_);

  // Success: for an answer with results; else the request is given up. True obliges to Answer().
  [[nodiscard]] bool Claim(const Status& reason) EXCLUDES(mutex_);
  // One result per instance; after a successful Claim(), with no lock held. What the request took
  // from the admission is given back before, so that the client's next request fits; only the bytes
  // of one that was given up while it ran stay its own until its runner drops it.
  void Answer(std::vector<Result<Instance>> results);
  // The same error for each instance.
  void AnswerError(const Status& error);

  // What gives the request up at its deadline. Set before the request is queued.
  void set_deadline_entry(Timer::Entry entry) { deadline_entry_ = std::move(entry); }

 private:
  const std::shared_ptr<CancelToken> given_up_;
  const CallContext context_;
  const size_t instance_count_;
  const std::shared_ptr<ByteAccount> account_;
  mutable Mutex mutex_;
  bool begun_ GUARDED_BY(mutex_) = false;
  bool claimed_ GUARDED_BY(mutex_) = false;
  Status status_ GUARDED_BY(mutex_);
  std::vector<Instance> inputs_ GUARDED_BY(mutex_);
  Admission::Ticket ticket_ GUARDED_BY(mutex_);
  WeakList<SubmittedCall> calls_ GUARDED_BY(mutex_);
  WeakList<KeptOutput> kept_ GUARDED_BY(mutex_);
  Done done_;  // Of whoever has claimed the answer.
  Timer::Entry deadline_entry_;
};

}  // namespace pipeserve
