// Small graphs for tests of executors.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace pipeserve {

// Appends nodes one by one; every value gets a name of its own.
class TestGraph {
 public:
  ValueId Input(const Shape& shape, DataType dtype = DataType::kFloat32) {
    const ValueId id = graph_.AddValue({"in" + std::to_string(graph_.inputs.size()), dtype, shape});
    graph_.inputs.push_back(id);
    return id;
  }
  ValueId Constant(const Tensor& tensor) {
    const ValueId id = Value(tensor.shape(), tensor.dtype());
    graph_.constants[id] = tensor;
    return id;
  }
  // A node with one result of the shape that the test says.
  ValueId Node(OpType op, std::vector<ValueId> inputs, const Shape& shape,
               Attributes attributes = {}) {
    return Nodes(op, std::move(inputs), {shape}, std::move(attributes))[0];
  }
  ValueId Cast(ValueId input, const Shape& shape, DataType to) {
    const ValueId result = Value(shape, to);
    graph_.nodes.push_back({OpType::kCast,
                            "node" + std::to_string(graph_.nodes.size()),
                            {input},
                            {result},
                            CastAttributes{to}});
    return result;
  }
  std::vector<ValueId> Nodes(OpType op, std::vector<ValueId> inputs,
                             const std::vector<Shape>& shapes, Attributes attributes = {}) {
    std::vector<ValueId> outputs;
    for (const Shape& shape : shapes) {
      outputs.push_back(Value(shape, graph_.info(inputs[0]).dtype));
    }
    graph_.nodes.push_back({op, "node" + std::to_string(graph_.nodes.size()), std::move(inputs),
                            outputs, std::move(attributes)});
    return outputs;
  }
  Graph Return(std::vector<ValueId> outputs) {
    graph_.outputs = std::move(outputs);
    return std::move(graph_);
  }

 private:
  ValueId Value(const Shape& shape, DataType dtype) {
    return graph_.AddValue({"v" + std::to_string(graph_.values.size()), dtype, shape});
  }
  Graph graph_{"test", {}, {}, {}, {}, {}};
};

inline std::vector<float> Floats(const Tensor& tensor) {
  const float* data = tensor.data_as<float>();
  return {data, data + tensor.byte_size() / sizeof(float)};
}

}  // namespace pipeserve
