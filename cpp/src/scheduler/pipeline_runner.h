// A pipeline: a host function that gets one instance per call.
#pragma once

#include <vector>

#include "scheduler/callable.h"

namespace pipeserve {

// Immutable; `pipeline` outlives it.
class PipelineRunner : public Callable {
 public:
  explicit PipelineRunner(const PipelineSpec& pipeline) : pipeline_(pipeline) {}

  // Runs the instances one after the other.
  //
  // Errors of an instance: kInvalidArgument (wrong number of values); what the function returned,
  // after "Pipeline Failed: "; kDeadlineExceeded (the deadline passed before its turn).
  std::vector<Result<Instance>> Run(std::vector<Instance> instances,
                                    const CallContext& context) const override;

 private:
  Result<Instance> RunOne(const Instance& instance, const CallContext& context) const;

  const PipelineSpec& pipeline_;
};

}  // namespace pipeserve
