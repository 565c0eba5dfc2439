// What a servable does before its first request.
#pragma once

#include <string>
#include <vector>

#include "scheduler/callable.h"

namespace pipeserve {

// Runs every graph whose input shapes are known once, on zeros, so that plans, caches and memory
// are there when the first request comes; then the servable's own warm-up function. Immutable;
// `spec` and `executor` outlive it.
class WarmUp final : public Callable {
 public:
  // With `runs_graphs` false the function alone.
  WarmUp(const ServableSpec& spec, Executor& executor, bool runs_graphs)
      : spec_(spec), executor_(executor), runs_graphs_(runs_graphs) {}

  // One instance without values, and a result without values. A graph that does not take zeros is
  // only logged. Errors: what the function returned, after "Warm-up failed: ".
  std::vector<Result<Instance>> Run(std::vector<Instance> instances,
                                    const CallContext& context) const override;

 private:
  Status RunGraph(GraphId graph, const CallContext& context) const;

  const ServableSpec& spec_;
  Executor& executor_;
  const bool runs_graphs_;
};

}  // namespace pipeserve
