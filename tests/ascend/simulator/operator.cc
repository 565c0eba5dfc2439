#include "operator.h"

#include <cstring>
#include <string_view>

#include "memory_check.h"
#include "products.h"

namespace pipeserve::ascend::sim {
namespace {

constexpr int kPoison = 0x5A;

// The function of phase 2 that belongs to a function of phase 1.
Function LaunchOf(Function phase1) {
  constexpr std::string_view kEnd = "GetWorkspaceSize";
  std::string_view name = NameOf(phase1);
  name.remove_suffix(kEnd.size());
  return *FunctionByName(name);
}

bool Overlap(const View& a, const View& b) {
  return a.extent() > 0 && b.extent() > 0 && a.device < b.device + b.extent() &&
         b.device < a.device + a.extent();
}

std::optional<Failure> CheckOverlap(Call& call, const Plan& plan) {
  const View& out = plan.output->view;
  for (const auto& input : plan.inputs) {
    if (!Overlap(input->view, out)) continue;
    if (plan.in_place_allowed && input->view.SamePlaces(out)) continue;
    return Refuse(call, "an input and the output overlap");
  }
  return std::nullopt;
}

uint64_t WorkspaceFor(Core& core) {
  constexpr uint64_t kSteps = 2048;
  constexpr uint64_t kStep = 32;
  return core.settings.random_workspace ? core.random() % kSteps * kStep : core.settings.workspace;
}

Range RangeOf(const TensorObject& tensor, Use use) {
  return {tensor.block, tensor.view.device, tensor.view.extent(), use};
}

bool IsWritten(const Core& core, const View& view) {
  if (view.IsPacked()) return core.device_memory.IsWritten(view.device, view.extent());
  bool written = true;
  ForEach(view.dims, {&view}, [&](const int64_t(&offsets)[1]) {
    written = written && core.device_memory.IsWritten(view.device + offsets[0], SizeOf(view.type));
  });
  return written;
}

void CheckInputsWritten(Core& core, const Plan& plan, const char* function, const Origin& origin) {
  for (const auto& input : plan.inputs) {
    if (IsWritten(core, input->view)) continue;
    core.Break("M1", Text(function, " reads ", input->view.Text(),
                          " that was never written as a whole; called by ", origin.Text()));
  }
}

void MarkOutput(Core& core, const View& view) {
  if (view.IsPacked()) return core.device_memory.MarkWritten(view.device, view.extent());
  ForEach(view.dims, {&view}, [&](const int64_t(&offsets)[1]) {
    core.device_memory.MarkWritten(view.device + offsets[0], SizeOf(view.type));
  });
}

Task MakeTask(Call& call, const ExecutorObject& executor, const Range& workspace) {
  Task task;
  task.function = call.name();
  for (const auto& input : executor.plan.inputs) {
    if (input->block != nullptr) task.ranges.push_back(RangeOf(*input, Use::kRead));
  }
  if (executor.plan.output->block != nullptr) {
    task.ranges.push_back(RangeOf(*executor.plan.output, Use::kWrite));
  }
  if (workspace.block != nullptr) task.ranges.push_back(workspace);
  task.run = [&core = call.core, plan = executor.plan, workspace, name = call.name(),
              origin = task.origin](Lock&) {
    CheckInputsWritten(core, plan, name, origin);
    plan.compute();
    MarkOutput(core, plan.output->view);
    if (workspace.block == nullptr) return 0;
    std::memset(core.device_memory.View(workspace.begin), kPoison, workspace.size);
    core.device_memory.MarkWritten(workspace.begin, workspace.size, false);
    return 0;
  };
  return task;
}

// The workspace of a launch, without a block where none is needed; a failure when it is not as it
// must be.
std::optional<Failure> FindWorkspace(Call& call, void* workspace, uint64_t size,
                                     const ExecutorObject& executor, Range* range) {
  if (size < executor.workspace) {
    return call.Break("N2", codes::kWrongArgument,
                      Text(call.name(), " with a workspace of ", size,
                           " bytes, and phase 1 asked for ", executor.workspace));
  }
  if (executor.workspace == 0) return std::nullopt;
  range->block = FindDeviceMemory(call, "N2", "the workspace", workspace, executor.workspace);
  if (range->block == nullptr) {
    return Failure{workspace == nullptr ? codes::kNullArgument : codes::kWrongArgument};
  }
  range->begin = static_cast<const std::byte*>(workspace);
  range->size = executor.workspace;
  range->use = Use::kWorkspace;
  return std::nullopt;
}

void CheckTensorsLive(Call& call, const ExecutorObject& executor) {
  std::vector<std::shared_ptr<TensorObject>> tensors = executor.plan.inputs;
  tensors.push_back(executor.plan.output);
  for (const auto& tensor : tensors) {
    if (call.core.objects.Find<TensorObject>(tensor->handle<void>()) == nullptr) {
      call.Break("N5", 0, Text(call.name(), " after a tensor of phase 1 was destroyed"));
    }
    if (tensor->block != nullptr && tensor->block->freed) {
      call.Break(
          "M3", 0,
          Text(call.name(), " with memory that was freed by ", tensor->block->freed_at.Text()));
    }
  }
}

// A launch uses its executor up, even when it fails.
void UseUp(Call& call, const ExecutorObject& executor) {
  if (!executor.repeatable) call.core.objects.Remove(executor);
}

std::optional<Failure> CheckExecutor(Call& call, const ExecutorObject& executor) {
  if (executor.launch != call.function()) {
    return call.Break("N1", codes::kWrongArgument,
                      Text(call.name(), " with an executor of ", NameOf(executor.launch)));
  }
  if (executor.thread != std::this_thread::get_id()) {
    call.Break("N3", 0, Text(call.name(), " on another thread than its phase 1"));
  } else if (!executor.repeatable && CurrentThread().last_plan != executor.handle<void>()) {
    call.Break("N3", 0, Text(call.name(), " not right after its phase 1"));
  }
  return std::nullopt;
}

}  // namespace

Failure Refuse(Call& call, const std::string& text) {
  return call.Break("N5", codes::kWrongArgument, Text(call.name(), ": ", text));
}

bool FindTensors(Call& call, std::initializer_list<const abi::Tensor*> handles,
                 std::vector<std::shared_ptr<TensorObject>>* tensors) {
  for (const abi::Tensor* handle : handles) {
    tensors->push_back(call.Find<TensorObject>(handle));
    if (tensors->back() == nullptr) return false;
  }
  return true;
}

abi::AclCode Finish(Call& call, Plan plan, uint64_t* size, abi::OpExecutor** handle) {
  if (size == nullptr || handle == nullptr) {
    return call.Break("N1", codes::kNullArgument, Text(call.name(), " with a null pointer"));
  }
  if (const auto failure = CheckProduct(call, plan)) return *failure;
  if (const auto failure = CheckOverlap(call, plan)) return *failure;
  const auto executor = std::make_shared<ExecutorObject>();
  executor->launch = LaunchOf(call.function());
  executor->plan = std::move(plan);
  executor->workspace = *size = WorkspaceFor(call.core);
  *handle = static_cast<abi::OpExecutor*>(call.core.objects.Add(executor));
  CurrentThread().last_plan = *handle;
  return abi::AclCode::kSuccess;
}

abi::AclCode Launch(Call& call, void* workspace, uint64_t size, abi::OpExecutor* handle,
                    abi::Stream* stream_handle) {
  const auto executor = call.Find<ExecutorObject>(handle);
  if (executor == nullptr) return call.bad_handle();
  const auto refusal = CheckExecutor(call, *executor);
  UseUp(call, *executor);
  if (refusal.has_value()) return *refusal;
  if (call.launch_fault().has_value()) {
    return call.Fail(*call.launch_fault(), Text(call.name(), " was told to fail"));
  }
  const auto stream = call.FindStream(stream_handle);
  if (stream == nullptr) return call.bad_handle();
  CheckTensorsLive(call, *executor);
  Range range;
  if (const auto failure = FindWorkspace(call, workspace, size, *executor, &range)) return *failure;
  stream->Enqueue(MakeTask(call, *executor, range));
  return abi::AclCode::kSuccess;
}

}  // namespace pipeserve::ascend::sim
