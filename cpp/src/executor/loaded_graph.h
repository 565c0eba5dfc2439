// A graph that an executor has taken in: checked, with the shapes of its values.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "executor/executor.h"
#include "graph/graph.h"
#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

// Ranks that a collective runs over.
int64_t CollectiveMembers(const Node& node, int rank_size);
inline bool IsCollective(OpType op) { return op == OpType::kAllReduce || op == OpType::kAllGather; }

// Immutable.
class LoadedGraph {
 public:
  // Whether the executor has an operator for these operands; shapes may have unknown dimensions.
  using CheckNode = std::function<Status(const Node& node, std::span<const TensorInfo> inputs)>;

  // `rank_size` is that of the servable. Errors: kInvalidArgument (constants, shapes, groups),
  // those of `check`.
  static Result<LoadedGraph> Create(GraphId id, Graph graph, int rank_size, const CheckNode& check);

  const Graph& graph() const { return graph_; }
  const GraphSignature& signature() const { return signature_; }
  // Whether a run meets other ranks, by collectives or messages.
  bool meets_others() const { return meets_others_; }
  bool has_messages() const { return !signature_.messages.empty(); }
  // Whether no value has an unknown dimension.
  bool is_static() const { return is_static_; }
  // Of graph().values, unknown dimensions included.
  const std::vector<TensorInfo>& infos() const { return infos_; }

  // Of graph().values in a call with these inputs, which must fit the signature. An input of known
  // shape may come in another one of the same size; the graph sees its own.
  // Errors: kInvalidArgument.
  Result<std::vector<TensorInfo>> InfosFor(std::span<const Tensor> inputs) const;
  // Errors: kInvalidArgument, see input_check.h.
  Status CheckInputs(std::span<const Tensor> inputs) const;

 private:
  LoadedGraph(GraphId id, Graph graph, int rank_size)
      : id_(id), rank_size_(rank_size), graph_(std::move(graph)) {}
  Status CheckNodes(const CheckNode& check);

  GraphId id_;
  int rank_size_;
  Graph graph_;
  std::vector<TensorInfo> infos_;
  GraphSignature signature_;
  bool meets_others_ = false;
  bool is_static_ = false;
};

}  // namespace pipeserve
