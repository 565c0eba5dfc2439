// A graph made ready for the device, for one set of input shapes: where its values lie there, and
// the operators that compute them.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "executor/ascend/collectives.h"
#include "executor/ascend/product.h"
#include "executor/ascend/step.h"
#include "executor/ascend/weights.h"
#include "graph/graph.h"
#include "pipeserve/tensor.h"

namespace pipeserve::ascend {

struct PlanOptions {
  Precision precision = Precision::kStrict;
  int rank_size = 1;
};

// One value that crosses to or from the device.
struct Port {
  TensorInfo info;
  size_t bytes = 0;
  size_t staged = 0;  // Where it lies in the pinned block.
  std::byte* device = nullptr;
};

// Owns the memory that it works in, and serves one call at a time.
class Plan {
 public:
  // `infos` are those of graph.values, without unknown dimensions. `weights` are those of `graph`.
  // `collectives` may be null when there are none; with `weights` and `device` it outlives the
  // plan.
  //
  // Errors: kUnimplemented (an operator or data type that the device has not),
  // kFailedPrecondition (not with that precision), kResourceExhausted, those of the runtime.
  static Result<std::unique_ptr<Plan>> Build(Device& device, const Graph& graph,
                                             std::span<const TensorInfo> infos,
                                             const Weights& weights, Collectives* collectives,
                                             const PlanOptions& options);

  // `inputs` have the byte sizes of the infos. `outputs` is replaced on success. Errors: those
  // of Stream::Synchronize() and of the runtime.
  Status Run(Stream& stream, Workspace& workspace, std::span<const Tensor> inputs,
             std::span<const Buffer> places, const WaitFor& wait, std::vector<Tensor>* outputs);

 private:
  friend class PlanBuilder;
  Plan() = default;

  Status Enqueue(Stream& stream, Workspace& workspace, std::span<const Tensor> inputs);
  Tensor TakeOutput(const Port& port, std::span<const Buffer> places, size_t index) const;

  DeviceBlock arena_;
  PinnedBlock staging_;
  std::vector<Port> inputs_, outputs_;
  std::vector<std::unique_ptr<Step>> steps_;  // Destroyed before what they work on.
};

}  // namespace pipeserve::ascend
