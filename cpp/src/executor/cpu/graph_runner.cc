#include "executor/cpu/graph_runner.h"

#include <utility>

#include "executor/cpu/aligned_inputs.h"

namespace pipeserve {
namespace {

Status AlignConstants(Graph& graph) {
  for (auto& [id, tensor] : graph.constants) {
    if (IsAligned(tensor)) continue;
    PIPESERVE_ASSIGN_OR_RETURN(tensor, AlignedCopy(tensor));
  }
  return OkStatus();
}

}  // namespace

Result<std::unique_ptr<GraphRunner>> GraphRunner::Create(GraphId id, Graph graph,
                                                         const PlanOptions& options) {
  PIPESERVE_RETURN_IF_ERROR(AlignConstants(graph));
  PIPESERVE_ASSIGN_OR_RETURN(
      LoadedGraph loaded,
      LoadedGraph::Create(id, std::move(graph), options.rank_size, &CheckSupported));
  std::unique_ptr<GraphRunner> runner(new GraphRunner(std::move(loaded), options));
  const LoadedGraph& kept = runner->loaded_;
  if (kept.is_static()) {
    PIPESERVE_ASSIGN_OR_RETURN(runner->static_plan_,
                               Plan::Build(kept.graph(), kept.infos(), options));
  }
  return runner;
}

Status GraphRunner::Run(std::span<const Tensor> inputs, const PlanCall& call,
                        std::vector<Tensor>* outputs) {
  PIPESERVE_RETURN_IF_ERROR(loaded_.CheckInputs(inputs));
  AlignedInputs aligned;
  PIPESERVE_RETURN_IF_ERROR(aligned.Assign(inputs, copied_inputs_));
  inputs = aligned.tensors();
  if (static_plan_ != nullptr) return static_plan_->Run(inputs, call, outputs);
  PIPESERVE_ASSIGN_OR_RETURN(const std::shared_ptr<Plan> plan, PlanFor(inputs));
  return plan->Run(inputs, call, outputs);
}

// Two threads may plan the same at once, but no call waits for another's plan.
Result<std::shared_ptr<Plan>> GraphRunner::PlanFor(std::span<const Tensor> inputs) {
  if (std::shared_ptr<Plan> known = plans_.Find(inputs)) return known;
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<TensorInfo> infos, loaded_.InfosFor(inputs));
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Plan> made,
                             Plan::Build(loaded_.graph(), infos, options_));
  std::shared_ptr<Plan> plan = std::move(made);
  plans_.Keep(inputs, plan);
  return plan;
}

}  // namespace pipeserve
