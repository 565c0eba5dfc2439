#include "executor/cpu/plan.h"

#include <new>
#include <utility>

#include "base/str_cat.h"
#include "executor/cpu/plan_builder.h"

namespace pipeserve {

Result<std::unique_ptr<Plan>> Plan::Build(const Graph& graph, std::span<const TensorInfo> infos,
                                          const PlanOptions& options) {
  std::unique_ptr<Plan> plan(new Plan);
  PIPESERVE_RETURN_IF_ERROR(PlanBuilder(graph, infos, options, plan.get()).Build());
  return plan;
}

Status Plan::Run(std::span<const Tensor> inputs, const PlanCall& call,
                 std::vector<Tensor>* outputs) {
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Workspace> workspace, TakeWorkspace(call.places));
  const Frame frame{inputs,    workspace->outputs, workspace->bytes.mutable_data(),
                    call.team, call.communicator,  call.deadline};
  Status status = call.outputs_wanted ? RunSteps(frame) : RunForOthers(frame);
  if (!call.outputs_wanted) workspace->outputs.clear();
  // The caller's old vector stays here and lends its capacity to a later call; its tensors may be
  // this call's inputs, so they go only now.
  if (status.ok()) std::swap(*outputs, workspace->outputs);
  workspace->outputs.clear();
  GiveBack(std::move(workspace));
  return status;
}

Status Plan::RunSteps(const Frame& frame) const {
  for (const auto& step : steps_) PIPESERVE_RETURN_IF_ERROR(step->Run(frame));
  return OkStatus();
}

Status Plan::RunForOthers(const Frame& frame) const {
  if (steps_for_others_ == 0) return OkStatus();
  const size_t last = steps_for_others_ - 1;
  for (size_t i = 0; i < last; ++i) PIPESERVE_RETURN_IF_ERROR(steps_[i]->Run(frame));
  return steps_[last]->Contribute(frame);
}

Result<std::unique_ptr<Plan::Workspace>> Plan::TakeWorkspace(std::span<const Buffer> places) {
  try {
    std::unique_ptr<Workspace> workspace;
    {
      MutexLock lock(mutex_);
      if (!free_.empty()) {
        workspace = std::move(free_.back());
        free_.pop_back();
      } else {
        free_.reserve(++workspaces_);  // So that giving back never allocates.
      }
    }
    if (workspace == nullptr) {
      workspace = std::make_unique<Workspace>();
      workspace->bytes = Buffer::Allocate(workspace_bytes_);
    }
    workspace->outputs.reserve(outputs_.size());
    for (size_t i = 0; i < outputs_.size(); ++i) {
      workspace->outputs.push_back(MakeOutput(i, places));
    }
    return workspace;
  } catch (const std::bad_alloc&) {
    return ResourceExhausted(
        StrCat("no memory for a workspace of ", workspace_bytes_, " bytes and the outputs"));
  }
}

Tensor Plan::MakeOutput(size_t index, std::span<const Buffer> places) const {
  const TensorInfo& info = outputs_[index];
  const bool has_place =
      index < places.size() && static_cast<int64_t>(places[index].size()) == info.byte_size();
  return has_place ? Tensor(info.dtype, info.shape, places[index]) : Tensor(info.dtype, info.shape);
}

void Plan::GiveBack(std::unique_ptr<Workspace> workspace) {
  MutexLock lock(mutex_);
  free_.push_back(std::move(workspace));
}

}  // namespace pipeserve
