#include "graph/sharding.h"

#include <algorithm>
#include <iterator>

#include "base/str_cat.h"
#include "graph/layout_rules.h"
#include "graph/rank_graphs.h"

namespace pipeserve {
namespace {

// More is a mistake: every rank gets a graph of its own.
constexpr int kMaxRankSize = 4096;

class Sharder {
 public:
  Sharder(const Graph& graph, int rank_size, const Stages& stages)
      : graph_(graph),
        stages_(stages),
        width_(rank_size / stages.count),
        home_(graph.values.size()),
        placed_(static_cast<size_t>(stages.count)) {
    for (int stage = 0; stage < stages.count; ++stage) {
      ranks_.emplace_back(graph.name, width_, stage, stages.count);
      placed_[static_cast<size_t>(stage)].resize(graph.values.size());
    }
  }

  void PlaceInputs() {
    const int takers = stages_.all_take_inputs ? stages_.count : 1;
    for (int stage = 0; stage < takers; ++stage) {
      for (const ValueId id : graph_.inputs) {
        Versions(stage, id).push_back(Ranks(stage).AddInput(graph_.info(id)));
      }
    }
  }

  Status PlaceNode(const Node& node, int stage, const Strategy* strategy) {
    if (node.op == OpType::kAllReduce || node.op == OpType::kAllGather || IsMessage(node.op)) {
      return InvalidArgument(StrCat("graph ", graph_.name, " holds ", OpTypeName(node.op), " ",
                                    node.name, ": it is cut already"));
    }
    for (const ValueId id : node.inputs) PIPESERVE_RETURN_IF_ERROR(Fetch(id, stage));
    PIPESERVE_ASSIGN_OR_RETURN(const NodeLayouts layouts, LayoutsOf(node, stage, strategy));
    std::vector<ValueId> inputs;
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      inputs.push_back(Want(stage, node.inputs[k], layouts.operands[k]).id);
    }
    std::vector<TensorInfo> infos;
    for (const ValueId id : node.outputs) infos.push_back(graph_.info(id));
    const std::vector<Layout> results = ResultLayouts(node, layouts);
    std::vector<Placed> placed = Ranks(stage).AddNode(node, inputs, infos, results);
    if (layouts.reduce_axis) placed[0] = Ranks(stage).AllReduce(placed[0], *layouts.reduce_axis);
    for (size_t i = 0; i < placed.size(); ++i) {
      home_[static_cast<size_t>(node.outputs[i])] = stage;
      Versions(stage, node.outputs[i]).push_back(std::move(placed[i]));
    }
    return OkStatus();
  }

  Status PlaceOutputs() {
    const int last = stages_.count - 1;
    for (const ValueId id : graph_.outputs) {
      PIPESERVE_RETURN_IF_ERROR(Fetch(id, last));
      Ranks(last).AddOutput(Want(last, id, WholeLayout(id)));
    }
    return OkStatus();
  }

  ShardedGraph Take() {
    ShardedGraph all;
    for (RankGraphs& stage : ranks_) {
      std::ranges::move(stage.TakeGraphs(), std::back_inserter(all.ranks));
      std::ranges::move(stage.TakeGroups(), std::back_inserter(all.groups));
    }
    return all;
  }

 private:
  RankGraphs& Ranks(int stage) { return ranks_[static_cast<size_t>(stage)]; }
  // A value can lie in several ways at once: as it came to be there, and as somebody wanted it.
  std::vector<Placed>& Versions(int stage, ValueId id) {
    return placed_[static_cast<size_t>(stage)][static_cast<size_t>(id)];
  }

  Layout WholeLayout(ValueId id) const {
    return Layout::Whole(width_, graph_.info(id).shape.rank());
  }

  // Has the value sent to `stage` if it is not there. Both ends are added at once, so that all
  // ranks send and receive in one order and none waits for a message that comes after its own.
  Status Fetch(ValueId id, int stage) {
    if (graph_.constants.contains(id) || !Versions(stage, id).empty()) return OkStatus();
    const int home = home_[static_cast<size_t>(id)];
    const TensorInfo& info = graph_.info(id);
    if (home > stage) {
      return InvalidArgument(
          StrCat("stage ", stage, " needs ", info.name, " of stage ", home, ", which comes later"));
    }
    if (!info.shape.is_known()) {
      return InvalidArgument(StrCat(info.name, " goes from stage ", home, " to stage ", stage,
                                    " and is ", info.ToString(), ", a known shape was wanted"));
    }
    Versions(stage, id).push_back(
        Ranks(home).SendTo(Ranks(stage), Versions(home, id).front(), next_tag_++));
    return OkStatus();
  }

  Result<NodeLayouts> LayoutsOf(const Node& node, int stage, const Strategy* strategy) {
    NodeOperands operands;
    operands.node = &node;
    operands.result = graph_.info(node.outputs[0]).shape;
    for (const ValueId id : node.inputs) {
      operands.shapes.push_back(graph_.info(id).shape);
      const bool constant = graph_.constants.contains(id);
      operands.layouts.push_back(constant ? nullptr : &Versions(stage, id).front().layout);
    }
    if (strategy != nullptr) return LayoutsByStrategy(operands, *strategy, width_);
    if (CanBeCut(node.op)) return LayoutsByOperands(operands, width_);
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

  Placed Want(int stage, ValueId id, const Layout& layout) {
    std::vector<Placed>& versions = Versions(stage, id);
    for (const Placed& version : versions) {
      if (SamePieces(version.layout, layout)) return version;
    }
    const auto constant = graph_.constants.find(id);
    versions.push_back(constant != graph_.constants.end()
                           ? Ranks(stage).AddConstant(graph_.info(id), constant->second, layout)
                           : Ranks(stage).Redistribute(Cheapest(versions, layout), layout));
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
  const Stages& stages_;
  const int width_;                // Ranks of a stage.
  std::vector<RankGraphs> ranks_;  // By stage.
  std::vector<int> home_;          // The stage that each value of the whole graph comes from.
  std::vector<std::vector<std::vector<Placed>>> placed_;  // By stage and the whole graph's ValueId.
  int64_t next_tag_ = 0;
};

Status CheckStages(const Graph& graph, int rank_size, const Stages& stages) {
  if (stages.count < 1 || rank_size % stages.count != 0) {
    return InvalidArgument(StrCat("graph ", graph.name, ": ", rank_size,
                                  " ranks are not to be had in ", stages.count,
                                  " stages of as many each"));
  }
  if (stages.count == 1 && stages.of_nodes.empty()) return OkStatus();
  std::vector<bool> used(static_cast<size_t>(stages.count));
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const int stage = stages.of_nodes[i];
    if (stage < 0 || stage >= stages.count) {
      return InvalidArgument(StrCat("graph ", graph.name, ", ", graph.nodes[i].name,
                                    " is in stage ", stage, " of ", stages.count));
    }
    used[static_cast<size_t>(stage)] = true;
  }
  const auto unused = std::ranges::find(used, false);
  if (unused == used.end()) return OkStatus();
  return InvalidArgument(StrCat("graph ", graph.name, ": stage ", unused - used.begin(), " of ",
                                stages.count, " has no operators"));
}

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
                                int rank_size, const Stages& stages) {
  PIPESERVE_RETURN_IF_ERROR(CheckArguments(graph, strategies, rank_size));
  PIPESERVE_RETURN_IF_ERROR(CheckStages(graph, rank_size, stages));
  Sharder sharder(graph, rank_size, stages);
  sharder.PlaceInputs();
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const auto strategy = strategies.find(i);
    const Node& node = graph.nodes[i];
    const int stage = stages.of_nodes.empty() ? 0 : stages.of_nodes[i];
    const Status status =
        sharder.PlaceNode(node, stage, strategy == strategies.end() ? nullptr : &strategy->second);
    if (!status.ok()) return status.WithContext(StrCat("graph ", graph.name, ", ", node.name));
  }
  const Status status = sharder.PlaceOutputs();
  if (!status.ok()) return status.WithContext(StrCat("graph ", graph.name, ", its outputs"));
  return sharder.Take();
}

}  // namespace pipeserve
