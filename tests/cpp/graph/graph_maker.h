// Makes graphs for tests, node by node, with shapes inferred.
#pragma once

#include <string>
#include <vector>

#include "base/str_cat.h"
#include "graph/graph.h"
#include "graph/shape_inference.h"
#include "support/matchers.h"

namespace pipeserve {

class GraphMaker {
 public:
  explicit GraphMaker(std::string name = "net", int rank_size = 1) : rank_size_(rank_size) {
    graph_.name = std::move(name);
  }

  ValueId Input(const std::string& name, const Shape& shape) {
    graph_.inputs.push_back(graph_.AddValue({name, DataType::kFloat32, shape}));
    return graph_.inputs.back();
  }

  // Small distinct values of both signs, so that a wrong piece or order shows.
  ValueId Weight(const std::string& name, const Shape& shape) {
    Tensor tensor(DataType::kFloat32, shape);
    for (int64_t i = 0; i < shape.num_elements(); ++i) {
      tensor.mutable_data_as<float>()[i] = static_cast<float>((i * 7 + 3) % 11 - 5) / 4;
    }
    const ValueId id = graph_.AddValue({name, DataType::kFloat32, shape});
    graph_.constants[id] = tensor;
    return id;
  }

  std::vector<ValueId> Nodes(OpType op, std::vector<ValueId> inputs, Attributes attributes,
                             size_t results) {
    Node node{op, StrCat(OpTypeName(op), graph_.nodes.size()), std::move(inputs),
              std::vector<ValueId>(results), std::move(attributes)};
    std::vector<TensorInfo> infos;
    for (const ValueId id : node.inputs) infos.push_back(graph_.info(id));
    const auto inferred = InferNode(node, infos, rank_size_);
    EXPECT_OK(inferred);
    for (size_t i = 0; i < results; ++i) {
      node.outputs[i] = graph_.AddValue(inferred.ok() ? (*inferred)[i] : TensorInfo{});
    }
    graph_.nodes.push_back(node);
    return node.outputs;
  }

  ValueId Node1(OpType op, std::vector<ValueId> inputs, Attributes attributes = {}) {
    return Nodes(op, std::move(inputs), std::move(attributes), 1).front();
  }

  ValueId MatMul(ValueId a, ValueId b, bool transpose_a = false, bool transpose_b = false) {
    return Node1(OpType::kMatMul, {a, b}, MatMulAttributes{transpose_a, transpose_b});
  }

  Graph Finish(const std::vector<ValueId>& outputs) {
    graph_.outputs = outputs;
    return graph_;
  }

 private:
  const int rank_size_;
  Graph graph_;
};

}  // namespace pipeserve
