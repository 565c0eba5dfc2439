#include "graph/sharding.h"

#include <algorithm>

#include "base/str_cat.h"
#include "graph/layout_rules.h"
#include "graph/rank_graphs.h"

namespace pipeserve {
namespace {

// More is a mistake: every rank gets a graph of its own.
constexpr int kMaxRankSize = 4096;

class Sharder {
 public:
  Sharder(const Graph& graph, int rank_size)
      : graph_(graph),
        rank_size_(rank_size),
        ranks_(graph.name, rank_size),
        placed_(graph.values.size()) {}

  void PlaceInputs() {
    for (const ValueId id : graph_.inputs) Versions(id).push_back(ranks_.AddInput(graph_.info(id)));
  }

  Status PlaceNode(const Node& node, const Strategy* strategy) {
    if (node.op == OpType::kAllReduce || node.op == OpType::kAllGather) {
      return InvalidArgument(StrCat("graph ", graph_.name, " holds ", OpTypeName(node.op), " ",
                                    node.name, ": it is cut already"));
    }
    PIPESERVE_ASSIGN_OR_RETURN(const NodeLayouts layouts, LayoutsOf(node, strategy));
    std::vector<ValueId> inputs;
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      inputs.push_back(Want(node.inputs[k], layouts.operands[k]).id);
    }
    std::vector<TensorInfo> infos;
    for (const ValueId id : node.outputs) infos.push_back(graph_.info(id));
    const std::vector<Layout> results = ResultLayouts(node, layouts);
    std::vector<Placed> placed = ranks_.AddNode(node, inputs, infos, results);
    if (layouts.reduce_axis) placed[0] = ranks_.AllReduce(placed[0], *layouts.reduce_axis);
    for (size_t i = 0; i < placed.size(); ++i) {
      Versions(node.outputs[i]).push_back(std::move(placed[i]));
    }
    return OkStatus();
  }

  void PlaceOutputs() {
    for (const ValueId id : graph_.outputs) ranks_.AddOutput(Want(id, WholeLayout(id)));
  }

  ShardedGraph Take() { return {ranks_.TakeGraphs(), ranks_.TakeGroups()}; }

 private:
  // A value can lie in several ways at once: as computed, and as somebody wanted it.
  std::vector<Placed>& Versions(ValueId id) { return placed_[static_cast<size_t>(id)]; }

  Layout WholeLayout(ValueId id) const {
    return Layout::Whole(rank_size_, graph_.info(id).shape.rank());
  }

  Result<NodeLayouts> LayoutsOf(const Node& node, const Strategy* strategy) {
    NodeOperands operands;
    operands.node = &node;
    operands.result = graph_.info(node.outputs[0]).shape;
    for (const ValueId id : node.inputs) {
      operands.shapes.push_back(graph_.info(id).shape);
      const bool constant = graph_.constants.contains(id);
      operands.layouts.push_back(constant ? nullptr : &Versions(id).front().layout);
    }
    if (strategy != nullptr) return LayoutsByStrategy(operands, *strategy, rank_size_);
    if (CanBeCut(node.op)) return LayoutsByOperands(operands, rank_size_);
    NodeLayouts whole;
    for (const ValueId id : node.inputs) whole.operands.push_back(WholeLayout(id));
    return whole;
  }

  std::vector<Layout> ResultLayouts(const Node& node, const NodeLayouts& layouts) const {
    if (CanBeCut(node.op)) return {layouts.result};
    std::vector<Layout> whole;
    for (const ValueId id : node.outputs) whole.push_back(WholeLayout(id));
    return whole;
  }

  Placed Want(ValueId id, const Layout& layout) {
    std::vector<Placed>& versions = Versions(id);
    for (const Placed& version : versions) {
      if (SamePieces(version.layout, layout)) return version;
    }
    const auto constant = graph_.constants.find(id);
    versions.push_back(constant != graph_.constants.end()
                           ? ranks_.AddConstant(graph_.info(id), constant->second, layout)
                           : ranks_.Redistribute(Cheapest(versions, layout), layout));
    return versions.back();
  }

  // A version that only has to be sliced, else the one that was computed.
  static Placed Cheapest(const std::vector<Placed>& versions, const Layout& layout) {
    const auto only_sliced = [&](const Placed& version) {
      for (size_t dim = 0; dim < layout.axes.size(); ++dim) {
        if (!Refines(layout, version.layout, dim)) return false;
      }
      return true;
    };
    const auto found = std::find_if(versions.begin(), versions.end(), only_sliced);
    return found != versions.end() ? *found : versions.front();
  }

  const Graph& graph_;
  const int rank_size_;
  RankGraphs ranks_;
  std::vector<std::vector<Placed>> placed_;  // Indexed by the whole graph's ValueId.
};

Status CheckArguments(const Graph& graph, const std::map<size_t, Strategy>& strategies,
                      int rank_size) {
  if (rank_size < 1 || rank_size > kMaxRankSize) {
    return InvalidArgument(StrCat("graph ", graph.name, " cannot be cut over ", rank_size,
                                  " ranks, 1 to ", kMaxRankSize, " are possible"));
  }
  if (!strategies.empty() && strategies.rbegin()->first >= graph.nodes.size()) {
    return InvalidArgument(StrCat("a strategy is given to node ", strategies.rbegin()->first,
                                  ", graph ", graph.name, " has ", graph.nodes.size()));
  }
  return OkStatus();
}

}  // namespace

Result<ShardedGraph> ShardGraph(const Graph& graph, const std::map<size_t, Strategy>& strategies,
                                int rank_size) {
  PIPESERVE_RETURN_IF_ERROR(CheckArguments(graph, strategies, rank_size));
  Sharder sharder(graph, rank_size);
  sharder.PlaceInputs();
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const auto strategy = strategies.find(i);
    const Node& node = graph.nodes[i];
    const Status status =
        sharder.PlaceNode(node, strategy == strategies.end() ? nullptr : &strategy->second);
    if (!status.ok()) return status.WithContext(StrCat("graph ", graph.name, ", ", node.name));
  }
  sharder.PlaceOutputs();
  return sharder.Take();
}

}  // namespace pipeserve
