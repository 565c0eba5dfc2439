// A method, bound to the graph that it runs.
#pragma once

#include <string>
#include <vector>

#include "scheduler/callable.h"
#include "scheduler/graph_step_runner.h"

namespace pipeserve {

// Immutable; everything it is made of outlives it. `method` has passed CheckServable().
class MethodRunner : public Callable {
 public:
  MethodRunner(const std::string& servable, const MethodSpec& method, const BatchLayout& layout,
               Executor& executor);

  // Errors of an instance: kInvalidArgument (wrong number of values, or they do not fit the
  // graph); what a host function returned, after "Preprocess Failed: " or "Postprocess Failed: ";
  // kDeadlineExceeded; those of Executor::Run().
  std::vector<Result<Instance>> Run(std::vector<Instance> instances,
                                    const CallContext& context) const override;

 private:
  const std::string title_;  // "matmul.fun1"
  const MethodSpec& method_;
  const GraphStepRunner graph_;
};

}  // namespace pipeserve
