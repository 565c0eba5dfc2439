// How instances lie in the tensors of a graph. With a batch dimension a graph's [B, ...] holds B
// instances of [...]; without one a whole tensor is one instance.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"
#include "pipeserve/servable.h"

namespace pipeserve {

// The batch dimension of all graphs of one servable. A value; immutable.
class BatchLayout {
 public:
  // A batch dimension that is unknown agrees with every other; when all are, the batch size is 1.
  //
  // Errors: kInvalidArgument (a batch size of 0, dimensions that disagree within a graph or
  // between graphs, a batch beyond all bounds), kUnimplemented (a batch of several instances in a
  // tensor with unknown dimensions).
  static Result<BatchLayout> Create(const ServableSpec& spec,
                                    std::span<const GraphSignature> graphs);

  // Instances that one graph call takes.
  int batch_size() const { return batch_size_; }

  // Compares the values of one instance with the graph's inputs: count, bytes and data type, never
  // the shape. Errors: kInvalidArgument, in the original's words.
  Status CheckInputs(const GraphSignature& graph, std::span<const Tensor> instance) const;

  // True when the two can share a call: the inputs that have no batch dimension are the same.
  bool CanShareCall(const Instance& a, const Instance& b) const;

  // Graph inputs from 1 to batch_size() instances that passed CheckInputs() and can share a call.
  // Missing instances are copies of the first; nothing is copied when the batch size is 1.
  std::vector<Tensor> Gather(const GraphSignature& graph,
                             std::span<const Instance> instances) const;

  // The first `count` instances of graph outputs, sharing their bytes.
  // Errors: kInternal (an output without the batch dimension).
  Result<std::vector<Instance>> Scatter(std::span<const Tensor> outputs, size_t count) const;

 private:
  BatchLayout(bool with_batch_dim, std::vector<int> without_batch_dim_inputs)
      : with_batch_dim_(with_batch_dim),
        without_batch_dim_inputs_(std::move(without_batch_dim_inputs)) {}

  bool HasBatchDim(size_t input) const;
  std::string WantedAndCame(size_t input, const TensorInfo& wanted, const Tensor& came) const;
  // The graph's own batch size, or -1 when it leaves it open.
  Result<int64_t> BatchSizeOf(const GraphSignature& graph) const;
  Status CheckGatherable(const GraphSignature& graph) const;

  bool with_batch_dim_;
  std::vector<int> without_batch_dim_inputs_;
  int batch_size_ = 1;
};

}  // namespace pipeserve
