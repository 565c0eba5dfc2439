#include "executor/cpu/plan_builder.h"

#include <numeric>
#include <utility>

#include "base/str_cat.h"

namespace pipeserve {

PlanBuilder::PlanBuilder(const Graph& graph, std::span<const TensorInfo> infos,
                         const PlanOptions& options, Plan* plan)
    : graph_(graph),
      infos_(infos),
      options_(options),
      plan_(plan),
      order_(FuseNodes(graph, infos)),
      storage_of_(graph.values.size()),
      storages_(graph.values.size()) {}

Status PlanBuilder::Build() {
  PIPESERVE_RETURN_IF_ERROR(CheckSizes());
  FindStorages();
  PlaceInputsAndConstants();
  PlaceOutputs();
  FindLastUses();
  PIPESERVE_RETURN_IF_ERROR(AddSteps());
  AddOutputCopies();
  for (const ValueId id : graph_.outputs) plan_->outputs_.push_back(Info(id));
  plan_->workspace_bytes_ = layout_.size();
  return OkStatus();
}

Status PlanBuilder::CheckSizes() const {
  size_t total = 0;
  for (const TensorInfo& info : infos_) {
    const int64_t bytes = info.byte_size();
    if (bytes >= 0 && static_cast<size_t>(bytes) <= WorkspaceLayout::kMaxBytes - total) {
      total += static_cast<size_t>(bytes);
      continue;
    }
    return ResourceExhausted(StrCat("graph ", graph_.name, ": value ", info.name, " is ",
                                    info.ToString(), ", which is more than can be planned"));
  }
  return OkStatus();
}

bool PlanBuilder::IsAlias(const Node& node) const {
  return node.op == OpType::kReshape ||
         (IsCollective(node.op) && CollectiveMembers(node, options_.rank_size) == 1);
}

void PlanBuilder::FindStorages() {
  std::iota(storage_of_.begin(), storage_of_.end(), size_t{0});
  for (const Node& node : graph_.nodes) {
    if (!IsAlias(node)) continue;
    storage_of_[static_cast<size_t>(node.outputs[0])] =
        storage_of_[static_cast<size_t>(node.inputs[0])];
  }
  for (size_t i = 0; i < storages_.size(); ++i) {
    storages_[i].bytes = static_cast<size_t>(infos_[i].byte_size());
  }
}

void PlanBuilder::PlaceInputsAndConstants() {
  for (size_t i = 0; i < graph_.inputs.size(); ++i) {
    Storage& storage = StorageOf(graph_.inputs[i]);
    storage.placed = true;
    storage.location = {Location::Place::kInput, i, 0, nullptr};
  }
  for (const auto& [id, tensor] : graph_.constants) {
    Storage& storage = StorageOf(id);
    storage.placed = true;
    storage.location = {Location::Place::kConstant, 0, 0, tensor.buffer().data()};
  }
}

// A storage that leaves the graph lies in the output itself. An output that is an input, a constant
// or an earlier output is copied at the end, so that no two tensors of a caller share bytes.
void PlanBuilder::PlaceOutputs() {
  for (size_t i = 0; i < graph_.outputs.size(); ++i) {
    Storage& storage = StorageOf(graph_.outputs[i]);
    if (storage.placed) {
      copied_outputs_.push_back(i);
      continue;
    }
    storage.placed = true;
    storage.location = {Location::Place::kOutput, i, 0, nullptr};
  }
}

void PlanBuilder::FindLastUses() {
  const auto use = [this](const Node& node, size_t i) {
    for (const ValueId id : node.inputs) StorageOf(id).last_use = i;
    for (const ValueId id : node.outputs) StorageOf(id).last_use = i;
  };
  for (size_t i = 0; i < order_.size(); ++i) {
    use(*order_[i].node, i);
    for (const Node* node : order_[i].following) use(*node, i);
  }
}

Status PlanBuilder::AddSteps() {
  for (size_t i = 0; i < order_.size(); ++i) {
    const StepNodes& nodes = order_[i];
    if (!IsAlias(*nodes.node)) PIPESERVE_RETURN_IF_ERROR(AddStep(nodes));
    Release(nodes.node->inputs, i);
    for (const Node* node : nodes.following) Release(node->inputs, i);
    Release(nodes.last().outputs, i);
  }
  return OkStatus();
}

void PlanBuilder::AddOperand(ValueId id, StepContext* context) {
  context->inputs.push_back(Info(id));
  context->from.push_back(StorageOf(id).location);
}

Status PlanBuilder::AddStep(const StepNodes& nodes) {
  StepContext context{*nodes.node,      *options_.kernels, {}, {}, {}, {}, {},
                      options_.threads, options_.rank_size};
  for (const ValueId id : nodes.last().outputs) {
    Storage& storage = StorageOf(id);
    if (!storage.placed) {
      storage.placed = true;
      storage.location = {Location::Place::kWorkspace, 0, layout_.Take(storage.bytes), nullptr};
    }
    context.outputs.push_back(Info(id));
    context.to.push_back(storage.location);
  }
  for (const ValueId id : nodes.node->inputs) AddOperand(id, &context);
  for (size_t i = 0; i < nodes.following.size(); ++i) {
    context.following.push_back({nodes.following[i]->op, context.from.size()});
    for (const ValueId id : nodes.following[i]->inputs) {
      if (id != nodes.result_before(i)) AddOperand(id, &context);
    }
  }
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Step> step, MakeStep(context));
  const size_t scratch = step->scratch_bytes();
  if (scratch > 0) {
    const size_t offset = layout_.Take(scratch);
    layout_.Give(offset, scratch);
    step->set_scratch_offset(offset);
  }
  Add(std::move(step), nodes.Name());
  if (IsCollective(nodes.node->op) || IsMessage(nodes.node->op)) {
    plan_->steps_for_others_ = plan_->steps_.size();
  }
  return OkStatus();
}

void PlanBuilder::Add(std::unique_ptr<Step> step, std::string name) {
  plan_->steps_.push_back(std::move(step));
  plan_->step_names_.push_back(std::move(name));
}

// Frees the workspace of storages that step `step_index` is the last to use.
void PlanBuilder::Release(std::span<const ValueId> ids, size_t step_index) {
  for (const ValueId id : ids) {
    Storage& storage = StorageOf(id);
    if (storage.last_use != step_index || !storage.placed) continue;
    if (storage.location.place != Location::Place::kWorkspace) continue;
    layout_.Give(storage.location.offset, storage.bytes);
    storage.placed = false;  // An operand may be named twice.
  }
}

void PlanBuilder::AddOutputCopies() {
  for (const size_t i : copied_outputs_) {
    const Storage& storage = StorageOf(graph_.outputs[i]);
    const Location output{Location::Place::kOutput, i, 0, nullptr};
    Add(MakeCopyStep(storage.location, output, storage.bytes), "Copy");
  }
}

}  // namespace pipeserve
