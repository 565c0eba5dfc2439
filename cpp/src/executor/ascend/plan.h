// A graph made ready for the device, for one set of input shapes: where its values lie there, and
// the operators that compute them.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "executor/ascend/collectives.h"
#include "executor/ascend/product.h"
#include "executor/ascend/program.h"
#include "executor/ascend/step.h"
#include "executor/ascend/weights.h"
#include "graph/graph.h"
#include "pipeserve/tensor.h"

namespace pipeserve::ascend {

struct PlanOptions {
  Precision precision = Precision::kStrict;
  int rank_size = 1;
};

// Owns the memory that it works in.
class Plan final : public Program {
 public:
  // `infos` are those of graph.values, without unknown dimensions. `weights` are those of `graph`;
  // with `collectives` and `device` they outlive the plan.
  //
  // Errors: kUnimplemented (an operator or data type that the device has not),
  // kFailedPrecondition (not with that precision), kResourceExhausted, those of the runtime.
  static Result<std::unique_ptr<Plan>> Build(Device& device, const Graph& graph,
                                             std::span<const TensorInfo> infos,
                                             const Weights& weights, const Collectives& collectives,
                                             const PlanOptions& options);

 private:
  friend class PlanBuilder;
  Plan() = default;
  Status Launch(Stream& stream, Workspace& workspace) override;

  DeviceBlock arena_;
  std::vector<std::unique_ptr<Step>> steps_;  // Destroyed before what they work on.
};

}  // namespace pipeserve::ascend
