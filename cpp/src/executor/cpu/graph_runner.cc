#include "executor/cpu/graph_runner.h"

#include <algorithm>
#include <utility>

#include "base/str_cat.h"
#include "executor/cpu/aligned_inputs.h"
#include "executor/input_check.h"
#include "graph/shape_inference.h"

namespace pipeserve {
namespace {

bool HasShapes(std::span<const Tensor> inputs, const std::vector<Shape>& shapes) {
  return std::equal(inputs.begin(), inputs.end(), shapes.begin(), shapes.end(),
                    [](const Tensor& input, const Shape& shape) { return input.shape() == shape; });
}

Status CheckConstants(const Graph& graph) {
  for (const auto& [id, tensor] : graph.constants) {
    const TensorInfo& info = graph.info(id);
    if (tensor.dtype() == info.dtype &&
        static_cast<int64_t>(tensor.byte_size()) == info.byte_size()) {
      continue;
    }
    return InvalidArgument(StrCat("constant ", info.name, " is ", info.ToString(), ", its data is ",
                                  tensor.ToString(), " of ", tensor.byte_size(), " bytes"));
  }
  return OkStatus();
}

Status AlignConstants(Graph& graph) {
  for (auto& [id, tensor] : graph.constants) {
    if (IsAligned(tensor)) continue;
    PIPESERVE_ASSIGN_OR_RETURN(tensor, AlignedCopy(tensor));
  }
  return OkStatus();
}

Status CheckGroup(const Node& node, int rank_size) {
  const int64_t members = CollectiveMembers(node, rank_size);
  if (members > 1 && rank_size == 1) {
    return InvalidArgument(StrCat(OpTypeName(node.op), " ", node.name, " runs over ", members,
                                  " ranks, the executor belongs to no group"));
  }
  for (const int32_t rank : std::get<CollectiveAttributes>(node.attributes).ranks) {
    if (rank >= 0 && rank < rank_size) continue;
    return InvalidArgument(StrCat(OpTypeName(node.op), " ", node.name, " names rank ", rank,
                                  ", the servable has ", rank_size, " ranks"));
  }
  return OkStatus();
}

std::vector<TensorInfo> DeclaredInputs(const Graph& graph) { return SignatureOf(graph).inputs; }

}  // namespace

GraphRunner::GraphRunner(GraphId id, Graph graph, const PlanOptions& options)
    : id_(id), graph_(std::move(graph)), options_(options) {}

Result<std::unique_ptr<GraphRunner>> GraphRunner::Create(GraphId id, Graph graph,
                                                         const PlanOptions& options) {
  PIPESERVE_RETURN_IF_ERROR(AlignConstants(graph));
  std::unique_ptr<GraphRunner> runner(new GraphRunner(id, std::move(graph), options));
  const Graph& kept = runner->graph_;
  PIPESERVE_RETURN_IF_ERROR(CheckConstants(kept));
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<TensorInfo> infos,
                             InferShapes(kept, DeclaredInputs(kept), options.rank_size));
  PIPESERVE_RETURN_IF_ERROR(runner->Check(infos));
  for (const ValueId id : kept.inputs) {
    runner->signature_.inputs.push_back(infos[static_cast<size_t>(id)]);
  }
  for (const ValueId id : kept.outputs) {
    runner->signature_.outputs.push_back(infos[static_cast<size_t>(id)]);
  }
  const bool is_static = std::all_of(infos.begin(), infos.end(),
                                     [](const TensorInfo& info) { return info.shape.is_known(); });
  if (is_static) {
    PIPESERVE_ASSIGN_OR_RETURN(runner->static_plan_, Plan::Build(kept, infos, options));
  }
  return runner;
}

Status GraphRunner::Check(std::span<const TensorInfo> infos) {
  std::vector<TensorInfo> operands;
  for (const Node& node : graph_.nodes) {
    operands.clear();
    for (const ValueId id : node.inputs) operands.push_back(infos[static_cast<size_t>(id)]);
    PIPESERVE_RETURN_IF_ERROR(CheckSupported(node, operands));
    if (!IsCollective(node.op)) continue;
    PIPESERVE_RETURN_IF_ERROR(CheckGroup(node, options_.rank_size));
    if (CollectiveMembers(node, options_.rank_size) > 1) has_collectives_ = true;
  }
  return OkStatus();
}

Status GraphRunner::Run(std::span<const Tensor> inputs, const PlanCall& call,
                        std::vector<Tensor>* outputs) {
  PIPESERVE_RETURN_IF_ERROR(CheckInputs(id_, signature_, inputs));
  AlignedInputs aligned;
  PIPESERVE_RETURN_IF_ERROR(aligned.Assign(inputs, copied_inputs_));
  inputs = aligned.tensors();
  if (static_plan_ != nullptr) return static_plan_->Run(inputs, call, outputs);
  PIPESERVE_ASSIGN_OR_RETURN(const std::shared_ptr<Plan> plan, PlanFor(inputs));
  return plan->Run(inputs, call, outputs);
}

Result<std::shared_ptr<Plan>> GraphRunner::PlanFor(std::span<const Tensor> inputs) {
  if (std::shared_ptr<Plan> known = FindPlan(inputs)) return known;
  // Planned outside the lock: two threads may do it twice, but no call waits for another's plan.
  PIPESERVE_ASSIGN_OR_RETURN(std::shared_ptr<Plan> plan, MakePlan(inputs));
  CachedPlan entry{{}, plan};
  for (const Tensor& input : inputs) entry.inputs.push_back(input.shape());
  Keep(std::move(entry));
  return plan;
}

std::shared_ptr<Plan> GraphRunner::FindPlan(std::span<const Tensor> inputs) {
  MutexLock lock(mutex_);
  for (auto it = plans_.begin(); it != plans_.end(); ++it) {
    if (!HasShapes(inputs, it->inputs)) continue;
    std::rotate(plans_.begin(), it, it + 1);
    return plans_.front().plan;
  }
  return nullptr;
}

Result<std::shared_ptr<Plan>> GraphRunner::MakePlan(std::span<const Tensor> inputs) const {
  std::vector<TensorInfo> infos = signature_.inputs;
  for (size_t i = 0; i < infos.size(); ++i) {
    // An input of known shape may come in another one of the same size; the graph sees its own.
    if (!infos[i].shape.is_known()) infos[i].shape = inputs[i].shape();
  }
  PIPESERVE_ASSIGN_OR_RETURN(infos, InferShapes(graph_, infos, options_.rank_size));
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Plan> plan, Plan::Build(graph_, infos, options_));
  return std::shared_ptr<Plan>(std::move(plan));
}

void GraphRunner::Keep(CachedPlan entry) {
  CachedPlan dropped;  // Outlives the lock: freeing a plan takes time.
  MutexLock lock(mutex_);
  if (plans_.size() >= kKeptPlans) {
    dropped = std::move(plans_.back());
    plans_.pop_back();
  }
  plans_.insert(plans_.begin(), std::move(entry));
}

}  // namespace pipeserve
