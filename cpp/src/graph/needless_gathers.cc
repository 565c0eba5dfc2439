#include "graph/needless_gathers.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>
#include <vector>

#include "graph/shape_inference.h"

namespace pipeserve {
namespace {

using Ranks = std::vector<int32_t>;

bool IsElementwise(OpType op) {
  return op == OpType::kNeg || op == OpType::kReLU || op == OpType::kCast;
}

// Whether equal inputs on two ranks give equal outputs, by an operator that only moves elements or
// treats each alike. Others may hold something of the rank, such as a slice.
bool TreatsRanksAlike(OpType op) {
  return IsElementwise(op) || op == OpType::kReshape || op == OpType::kTranspose ||
         op == OpType::kConcat || op == OpType::kSplit;
}

class GatherDropper {
 public:
  GatherDropper(int rank, int rank_size, Graph* graph)
      : rank_(rank), all_(static_cast<size_t>(rank_size)), graph_(*graph) {
    std::iota(all_.begin(), all_.end(), 0);
  }

  void Run() {
    FindReaders();
    FindEqualValues();
    std::vector<bool> needless(graph_.nodes.size());
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (graph_.nodes[i].op != OpType::kAllGather) continue;
      const std::optional<Passage> passage = FindPassage(i);
      if (!passage.has_value()) continue;
      Shorten(*passage);
      needless[passage->slice] = needless[passage->gather] = true;
    }
    size_t index = 0;
    std::erase_if(graph_.nodes, [&](const Node&) { return needless[index++]; });
  }

 private:
  // Nodes from a slice to the gather that undoes it, each the only reader of the one before.
  struct Passage {
    size_t slice = 0;
    std::vector<size_t> between;  // At least one, the last first.
    size_t gather = 0;
  };

  static constexpr size_t kNoNode = static_cast<size_t>(-1);

  void FindReaders() {
    readers_.assign(graph_.values.size(), 0);
    maker_.assign(graph_.values.size(), kNoNode);
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      for (const ValueId id : graph_.nodes[i].inputs) ++readers_[static_cast<size_t>(id)];
      for (const ValueId id : graph_.nodes[i].outputs) maker_[static_cast<size_t>(id)] = i;
    }
    for (const ValueId id : graph_.outputs) ++readers_[static_cast<size_t>(id)];
  }

  void FindEqualValues() {
    equal_on_.assign(graph_.values.size(), nullptr);
    for (const Node& node : graph_.nodes) {
      const Ranks* ranks = nullptr;
      if (node.op == OpType::kAllReduce || node.op == OpType::kAllGather) {
        ranks = GroupOf(node);
      } else if (TreatsRanksAlike(node.op)) {
        ranks = EqualOn(node.inputs[0]);
        for (const ValueId id : node.inputs) ranks = EqualOn(id) == ranks ? ranks : nullptr;
      }
      for (const ValueId id : node.outputs) equal_on_[static_cast<size_t>(id)] = ranks;
    }
  }

  // The same pointer for the same ranks.
  const Ranks* GroupOf(const Node& node) {
    const Ranks& named = std::get<CollectiveAttributes>(node.attributes).ranks;
    return &*groups_.insert(named.empty() ? all_ : named).first;
  }

  std::optional<Passage> FindPassage(size_t gather) {
    Passage passage;
    passage.gather = gather;
    ValueId value = graph_.nodes[gather].inputs[0];
    while (true) {
      const size_t maker = maker_[static_cast<size_t>(value)];
      if (maker == kNoNode || readers_[static_cast<size_t>(value)] != 1) return std::nullopt;
      const Node& node = graph_.nodes[maker];
      passage.slice = maker;
      if (node.op == OpType::kStridedSlice) break;
      if (!IsElementwise(node.op)) return std::nullopt;
      passage.between.push_back(maker);
      value = node.inputs[0];
    }
    const Ranks* group = GroupOf(graph_.nodes[gather]);
    const Node& slice = graph_.nodes[passage.slice];
    if (passage.between.empty() || EqualOn(slice.inputs[0]) != group) return std::nullopt;
    if (!IsOwnPart(slice, *group)) return std::nullopt;
    return passage;
  }

  // Whether `slice` cuts rows of equal parts, one for each of `ranks`, and takes this rank's.
  bool IsOwnPart(const Node& slice, const Ranks& ranks) const {
    const auto own = std::find(ranks.begin(), ranks.end(), rank_);
    const Shape& whole = graph_.info(slice.inputs[0]).shape;
    if (own == ranks.end() || whole.rank() == 0 || !whole.is_known()) return false;
    const auto spec = ResolveSlice(std::get<StridedSliceAttributes>(slice.attributes), whole);
    if (!spec.ok() || spec->output.rank() != whole.rank()) return false;
    const int64_t rows = spec->sizes[0];
    if (rows * static_cast<int64_t>(ranks.size()) != whole[0]) return false;
    if (spec->begin[0] != (own - ranks.begin()) * rows || spec->strides[0] != 1) return false;
    for (size_t dim = 1; dim < whole.rank(); ++dim) {
      if (spec->sizes[dim] != whole[dim] || spec->strides[dim] != 1) return false;
    }
    return true;
  }

  void Shorten(const Passage& passage) {
    const ValueId whole = graph_.nodes[passage.slice].inputs[0];
    const Shape shape = graph_.info(whole).shape;
    graph_.nodes[passage.between.back()].inputs = {whole};
    for (const size_t i : passage.between) {
      graph_.values[static_cast<size_t>(graph_.nodes[i].outputs[0])].info.shape = shape;
    }
    graph_.nodes[passage.between.front()].outputs = graph_.nodes[passage.gather].outputs;
  }

  const Ranks* EqualOn(ValueId id) const { return equal_on_[static_cast<size_t>(id)]; }

  const int32_t rank_;
  Ranks all_;
  Graph& graph_;
  std::set<Ranks> groups_;
  std::vector<int> readers_;            // Of each value; the caller reads the outputs.
  std::vector<size_t> maker_;           // The node that each value comes from.
  std::vector<const Ranks*> equal_on_;  // Which ranks hold each value alike; null: who knows.
};

}  // namespace

void DropNeedlessGathers(int rank, int rank_size, Graph* graph) {
  GatherDropper(rank, rank_size, graph).Run();
}

}  // namespace pipeserve
