// Which nodes of a graph run as one step.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace pipeserve {

// A node and those that are done to its result in the same pass. Only MatMul has such: Neg, ReLU,
// and BiasAdd or Add of a row, each the only reader of what comes before it.
struct StepNodes {
  const Node* node = nullptr;
  std::vector<const Node*> following;

  ValueId result_before(size_t i) const {
    return i == 0 ? node->outputs[0] : following[i - 1]->outputs[0];
  }
  const Node& last() const { return following.empty() ? *node : *following.back(); }
  std::string Name() const;  // "MatMul+BiasAdd+ReLU"
};

inline constexpr size_t kMaxFollowing = 8;

// All nodes of `graph`, in an order of execution. `infos` are those of graph.values, without
// unknown dimensions. The result borrows the nodes.
std::vector<StepNodes> FuseNodes(const Graph& graph, std::span<const TensorInfo> infos);

}  // namespace pipeserve
