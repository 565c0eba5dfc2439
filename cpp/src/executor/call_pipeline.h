// Runs several calls of one caller at a time, so that one is copied while another computes.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "executor/executor.h"

namespace pipeserve {

class CallPipeline {
 public:
  // One that has begun.
  class Call {
   public:
    virtual ~Call() = default;
    // Waits for its end, once, and replaces `outputs`. In the order in which the calls have begun.
    // Errors: those of Executor::Run(), of this call alone.
    virtual Status Finish(std::vector<Tensor>* outputs) = 0;
  };

  virtual ~CallPipeline() = default;

  // As Executor::Run() up to where another call can begin; first waits for one of the earlier calls
  // if there are as many as can be. Calls compute in the order in which they begin. `inputs` and
  // what `context` refers to outlive the call. Errors: those of Executor::Run(), then nothing is
  // left of the call.
  virtual Result<std::unique_ptr<Call>> Begin(GraphId graph, std::span<const Tensor> inputs,
                                              const CallContext& context) = 0;
};

}  // namespace pipeserve
