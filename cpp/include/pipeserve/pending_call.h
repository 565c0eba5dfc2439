// A method call that was submitted and whose results come later.
#pragma once

#include <chrono>
#include <vector>

#include "pipeserve/instance.h"
#include "pipeserve/resident_tensor.h"
#include "pipeserve/status.h"

namespace [[gnu::visibility("default")]] pipeserve {

// Thread-safe. Within a request it ends with the request at the latest: what nobody has waited for
// is then taken back or, when it runs, awaited.
class PendingCall {
 public:
  using Results = std::vector<Result<Instance>>;
  using KeptResults = std::vector<Result<ResidentTensors>>;

  virtual ~PendingCall() = default;

  virtual bool done() const = 0;
  // It has begun and is not done.
  virtual bool running() const = 0;

  // Waits until it is done, up to `timeout`; whether it is. A call of a request that is given up
  // (its deadline passes, its client leaves) is done at that moment.
  virtual bool WaitFor(std::chrono::nanoseconds timeout) const = 0;

  // Of a call that is done: one result per instance, or why it did not run or nobody waits for it:
  // kDeadlineExceeded, kCancelled, kUnavailable. It does not change any more.
  virtual const Result<Results>& result() const = 0;
  // The same of a call that keeps its outputs, for which result() is an error; of any other call
  // this is one: kFailedPrecondition.
  virtual const Result<KeptResults>& kept() const = 0;

  // Takes the call back, so that it is done with kCancelled; false when it has begun.
  virtual bool Cancel() = 0;
};

}  // namespace pipeserve
