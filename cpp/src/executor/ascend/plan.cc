#include "executor/ascend/plan.h"

#include <cstring>

#include "executor/ascend/plan_builder.h"

namespace pipeserve::ascend {

Result<std::unique_ptr<Plan>> Plan::Build(Device& device, const Graph& graph,
                                          std::span<const TensorInfo> infos, const Weights& weights,
                                          Collectives* collectives, const PlanOptions& options) {
  std::unique_ptr<Plan> plan(new Plan);
  PlanBuilder builder(device, graph, infos, weights, collectives, options, plan.get());
  PIPESERVE_RETURN_IF_ERROR(builder.Build());
  return plan;
}

Status Plan::Run(Stream& stream, Workspace& workspace, std::span<const Tensor> inputs,
                 std::span<const Buffer> places, const WaitFor& wait,
                 std::vector<Tensor>* outputs) {
  const Status enqueued = Enqueue(stream, workspace, inputs);
  // Also after a failure: what has been enqueued works on memory that the next call writes to.
  const Status done = stream.Synchronize(wait);
  PIPESERVE_RETURN_IF_ERROR(enqueued);
  PIPESERVE_RETURN_IF_ERROR(done);
  std::vector<Tensor> made;
  made.reserve(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    made.push_back(TakeOutput(outputs_[i], places, i));
  }
  *outputs = std::move(made);
  return OkStatus();
}

Status Plan::Enqueue(Stream& stream, Workspace& workspace, std::span<const Tensor> inputs) {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const Port& port = inputs_[i];
    if (port.bytes == 0) continue;
    std::byte* const staged = staging_.data() + port.staged;
    std::memcpy(staged, inputs[i].data(), port.bytes);
    PIPESERVE_RETURN_IF_ERROR(stream.CopyToDevice(port.device, staged, port.bytes));
  }
  for (const auto& step : steps_) PIPESERVE_RETURN_IF_ERROR(step->Launch(stream, workspace));
  for (const Port& port : outputs_) {
    if (port.bytes == 0) continue;
    std::byte* const staged = staging_.data() + port.staged;
    PIPESERVE_RETURN_IF_ERROR(stream.CopyToHost(staged, port.device, port.bytes));
  }
  return OkStatus();
}

Tensor Plan::TakeOutput(const Port& port, std::span<const Buffer> places, size_t index) const {
  const bool has_place = index < places.size() && places[index].size() == port.bytes;
  Tensor output = has_place ? Tensor(port.info.dtype, port.info.shape, places[index])
                            : Tensor(port.info.dtype, port.info.shape);
  if (port.bytes > 0) {
    std::memcpy(output.mutable_data(), staging_.data() + port.staged, port.bytes);
  }
  return output;
}

}  // namespace pipeserve::ascend
