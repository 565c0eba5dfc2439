#include "executor/loaded_graph.h"

#include <algorithm>
#include <utility>

#include "base/str_cat.h"
#include "executor/input_check.h"
#include "graph/shape_inference.h"

namespace pipeserve {
namespace {

Status CheckConstants(const Graph& graph) {
  for (const auto& [id, tensor] : graph.constants) {
    const TensorInfo& info = graph.info(id);
    if (tensor.dtype() == info.dtype &&
        static_cast<int64_t>(tensor.byte_size()) == info.byte_size()) {
      continue;
    }
    return InvalidArgument(StrCat("constant ", info.name, " is ", info.ToString(), ", its data is ",
                                  tensor.ToString(), " of ", tensor.byte_size(), " bytes"));
  }
  return OkStatus();
}

Status CheckGroup(const Node& node, int rank_size) {
  const int64_t members = CollectiveMembers(node, rank_size);
  if (members > 1 && rank_size == 1) {
    return InvalidArgument(StrCat(OpTypeName(node.op), " ", node.name, " runs over ", members,
                                  " ranks, the executor belongs to no group"));
  }
  for (const int32_t rank : std::get<CollectiveAttributes>(node.attributes).ranks) {
    if (rank >= 0 && rank < rank_size) continue;
    return InvalidArgument(StrCat(OpTypeName(node.op), " ", node.name, " names rank ", rank,
                                  ", the servable has ", rank_size, " ranks"));
  }
  return OkStatus();
}

}  // namespace

int64_t CollectiveMembers(const Node& node, int rank_size) {
  const auto& attributes = std::get<CollectiveAttributes>(node.attributes);
  return attributes.ranks.empty() ? rank_size : static_cast<int64_t>(attributes.ranks.size());
}

Result<LoadedGraph> LoadedGraph::Create(GraphId id, Graph graph, int rank_size,
                                        const CheckNode& check) {
  LoadedGraph loaded(id, std::move(graph), rank_size);
  const Graph& kept = loaded.graph_;
  PIPESERVE_RETURN_IF_ERROR(CheckConstants(kept));
  PIPESERVE_ASSIGN_OR_RETURN(loaded.infos_, InferShapes(kept, SignatureOf(kept).inputs, rank_size));
  PIPESERVE_RETURN_IF_ERROR(loaded.CheckNodes(check));
  const auto info = [&](ValueId each) { return loaded.infos_[static_cast<size_t>(each)]; };
  for (const ValueId each : kept.inputs) loaded.signature_.inputs.push_back(info(each));
  for (const ValueId each : kept.outputs) loaded.signature_.outputs.push_back(info(each));
  loaded.signature_.messages = SignatureOf(kept).messages;
  loaded.is_static_ = std::all_of(loaded.infos_.begin(), loaded.infos_.end(),
                                  [](const TensorInfo& each) { return each.shape.is_known(); });
  return loaded;
}

Status LoadedGraph::CheckNodes(const CheckNode& check) {
  std::vector<TensorInfo> operands;
  for (const Node& node : graph_.nodes) {
    operands.clear();
    for (const ValueId id : node.inputs) operands.push_back(infos_[static_cast<size_t>(id)]);
    PIPESERVE_RETURN_IF_ERROR(check(node, operands));
    if (IsMessage(node.op)) meets_others_ = true;
    if (!IsCollective(node.op)) continue;
    PIPESERVE_RETURN_IF_ERROR(CheckGroup(node, rank_size_));
    if (CollectiveMembers(node, rank_size_) > 1) meets_others_ = true;
  }
  return OkStatus();
}

Result<std::vector<TensorInfo>> LoadedGraph::InfosFor(std::span<const Tensor> inputs) const {
  std::vector<TensorInfo> infos = signature_.inputs;
  for (size_t i = 0; i < infos.size(); ++i) {
    if (!infos[i].shape.is_known()) infos[i].shape = inputs[i].shape();
  }
  return InferShapes(graph_, infos, rank_size_);
}

Status LoadedGraph::CheckInputs(std::span<const Tensor> inputs) const {
  return pipeserve::CheckInputs(id_, signature_, inputs);
}

}  // namespace pipeserve
