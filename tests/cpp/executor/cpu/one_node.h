// Graphs of one node, run by the CPU executor, and loops over the indices of a shape to hold their
// results against.
#pragma once

#include <cstring>
#include <utility>
#include <vector>

#include "executor/cpu/cpu_executor.h"
#include "support/graphs.h"
#include "support/matchers.h"

namespace pipeserve {

using Index = std::vector<int64_t>;

// The results of one node on `inputs`, whose shapes and data types are the graph's.
inline Result<std::vector<Tensor>> RunNode(OpType op, const Attributes& attributes,
                                           const std::vector<Tensor>& inputs, size_t results = 1,
                                           int threads = 1) {
  TestGraph graph;
  std::vector<ValueId> operands;
  for (const Tensor& input : inputs) operands.push_back(graph.Input(input.shape(), input.dtype()));
  const std::vector<ValueId> outputs =
      graph.Nodes(op, operands, std::vector<Shape>(results), attributes);
  std::vector<Graph> graphs;
  graphs.push_back(graph.Return(outputs));
  PIPESERVE_ASSIGN_OR_RETURN(const auto executor,
                             CpuExecutor::Create(std::move(graphs), {threads, nullptr, 1}));
  std::vector<Tensor> tensors;
  PIPESERVE_RETURN_IF_ERROR(executor->Run(0, inputs, {}, &tensors));
  return tensors;
}

// Calls visit(index) for every index of `shape`, the last dimension the fastest.
template <typename Visit>
void ForEachIndex(const Shape& shape, const Visit& visit) {
  for (int64_t n = 0; n < shape.num_elements(); ++n) {
    Index index(shape.rank());
    int64_t rest = n;
    for (size_t i = shape.rank(); i-- > 0; rest /= shape[i]) index[i] = rest % shape[i];
    visit(index);
  }
}

inline int64_t OffsetOf(const Shape& shape, const Index& index) {
  int64_t offset = 0;
  for (size_t i = 0; i < shape.rank(); ++i) offset = offset * shape[i] + index[i];
  return offset;
}

// The bits of one element, whatever it is.
inline uint64_t BitsAt(const Tensor& tensor, const Index& index) {
  const size_t size = DataTypeSize(tensor.dtype());
  uint64_t bits = 0;
  const auto* data = static_cast<const std::byte*>(tensor.data());
  std::memcpy(&bits, data + static_cast<size_t>(OffsetOf(tensor.shape(), index)) * size, size);
  return bits;
}

// Element n has the bits of `first` + n.
inline Tensor Counting(DataType dtype, const Shape& shape, uint64_t first = 1) {
  Tensor tensor(dtype, shape);
  const size_t size = DataTypeSize(dtype);
  auto* data = static_cast<std::byte*>(tensor.mutable_data());
  for (size_t n = 0; n * size < tensor.byte_size(); ++n) {
    const uint64_t bits = first + n;
    std::memcpy(data + n * size, &bits, size);
  }
  return tensor;
}

}  // namespace pipeserve
