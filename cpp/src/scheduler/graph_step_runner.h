// The graph step of a method: one graph, run on instances instead of on whole tensors.
#pragma once

#include <span>
#include <vector>

#include "executor/executor.h"
#include "pipeline/batch.h"
#include "pipeserve/servable.h"
#include "scheduler/call_pace.h"

namespace pipeserve {

// Thread-safe; `layout`, `executor` and `clock` outlive it.
class GraphStepRunner {
 public:
  GraphStepRunner(const BatchLayout& layout, Executor& executor, GraphId graph,
                  const Clock& clock = Clock::System());

  // Checks every instance, runs those that pass, and gives one result each, in order. Neighbours
  // share a call as far as the batch size and the inputs without a batch dimension allow. A failed
  // call costs the instances that shared it. The host's lock of `context` is given up meanwhile,
  // unless the executor runs the graph alone and is known to be quick.
  //
  // Errors of an instance: kInvalidArgument (it does not fit the graph), kDeadlineExceeded or
  // kCancelled (the request was given up before its call), those of Executor::Run().
  std::vector<Result<Instance>> Run(std::vector<Instance> instances,
                                    const CallContext& context) const;

 private:
  std::vector<Result<Instance>> RunAll(std::vector<Instance> instances,
                                       const CallContext& context) const;
  Result<std::vector<Instance>> Call(std::span<const Instance> instances,
                                     const CallContext& context) const;
  // How many of `instances`, from the first, fit in one call.
  size_t CallSize(std::span<const Instance> instances) const;

  const BatchLayout& layout_;
  Executor& executor_;
  const GraphId graph_;
  const GraphSignature& signature_;
  const bool runs_alone_;
  const Clock& clock_;
  mutable CallPace pace_;  // Of callers who hold the host's lock.
};

}  // namespace pipeserve
