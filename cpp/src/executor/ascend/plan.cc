#include "executor/ascend/plan.h"

#include "executor/ascend/plan_builder.h"

namespace pipeserve::ascend {

Result<std::unique_ptr<Plan>> Plan::Build(Device& device, const Graph& graph,
                                          std::span<const TensorInfo> infos, const Weights& weights,
                                          const Collectives& collectives,
                                          const PlanOptions& options) {
  std::unique_ptr<Plan> plan(new Plan);
  PlanBuilder builder(device, graph, infos, weights, collectives, options, plan.get());
  PIPESERVE_RETURN_IF_ERROR(builder.Build());
  return plan;
}

Status Plan::Launch(Stream& stream, Workspace& workspace) {
  for (const auto& step : steps_) PIPESERVE_RETURN_IF_ERROR(step->Launch(stream, workspace));
  return OkStatus();
}

}  // namespace pipeserve::ascend
