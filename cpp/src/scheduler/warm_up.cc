#include "scheduler/warm_up.h"

#include <algorithm>
#include <cstring>

#include "pipeserve/log.h"
#include "scheduler/host_call.h"

namespace pipeserve {
namespace {

bool HasKnownSizes(const GraphSignature& signature) {
  return std::ranges::all_of(signature.inputs, [](const TensorInfo& input) {
    return !IsText(input.dtype) && input.shape.num_elements() >= 0;
  });
}

}  // namespace

std::vector<Result<Instance>> WarmUp::Run(std::vector<Instance> instances,
                                          const CallContext& context) const {
  for (GraphId graph = 0; runs_graphs_ && graph < executor_.graph_count(); ++graph) {
    const Status status = RunGraph(graph, context);
    if (status.ok()) continue;
    Log(LogLevel::kWarning, "a graph could not be warmed up",
        {{"servable", spec_.name},
         {"version", std::to_string(spec_.version)},
         {"graph", std::to_string(graph)},
         {"error", status.message()}});
  }
  if (spec_.warm_up == nullptr) return std::vector<Result<Instance>>(instances.size(), Instance{});
  return CallHost(*spec_.warm_up, instances, /*output_count=*/0, "Warm-up failed");
}

Status WarmUp::RunGraph(GraphId graph, const CallContext& context) const {
  const GraphSignature& signature = executor_.signature(graph);
  if (!HasKnownSizes(signature)) return OkStatus();
  std::vector<Tensor> inputs;
  for (const TensorInfo& input : signature.inputs) {
    const size_t bytes =
        static_cast<size_t>(input.shape.num_elements()) * DataTypeSize(input.dtype);
    Buffer room = executor_.MakeRoom(bytes);
    std::memset(room.mutable_data(), 0, bytes);
    inputs.emplace_back(input.dtype, input.shape, std::move(room));
  }
  std::vector<Tensor> outputs;
  return executor_.Run(graph, inputs, context, &outputs);
}

}  // namespace pipeserve
