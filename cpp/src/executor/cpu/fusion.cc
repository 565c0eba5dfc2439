#include "executor/cpu/fusion.h"

#include <utility>

namespace pipeserve {
namespace {

struct Readers {
  int count = 0;    // The caller of the graph reads its outputs.
  size_t node = 0;  // The last one.
};

std::vector<Readers> ReadersOf(const Graph& graph) {
  std::vector<Readers> readers(graph.values.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    for (const ValueId id : graph.nodes[i].inputs) {
      Readers& each = readers[static_cast<size_t>(id)];
      ++each.count;
      each.node = i;
    }
  }
  constexpr int kKept = 2;  // Whoever else reads it.
  for (const ValueId id : graph.outputs) readers[static_cast<size_t>(id)].count += kKept;
  return readers;
}

class Fusion {
 public:
  Fusion(const Graph& graph, std::span<const TensorInfo> infos)
      : graph_(graph), infos_(infos), readers_(ReadersOf(graph)), inside_(graph.nodes.size()) {}

  std::vector<StepNodes> Run() {
    // A step stands where its last node does: by then everything it reads has been computed.
    std::vector<StepNodes> at(graph_.nodes.size());
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (inside_[i]) continue;
      auto [last, step] = StepFrom(i);
      at[last] = std::move(step);
    }
    std::erase_if(at, [](const StepNodes& step) { return step.node == nullptr; });
    return at;
  }

 private:
  std::pair<size_t, StepNodes> StepFrom(size_t first) {
    StepNodes step{&graph_.nodes[first], {}};
    size_t last = first;
    if (step.node->op != OpType::kMatMul) return {last, std::move(step)};
    while (step.following.size() < kMaxFollowing) {
      const ValueId result = step.last().outputs[0];
      const Readers& readers = readers_[static_cast<size_t>(result)];
      if (readers.count != 1 || !CanFollow(graph_.nodes[readers.node], result)) break;
      last = readers.node;
      inside_[last] = true;
      step.following.push_back(&graph_.nodes[last]);
    }
    return {last, std::move(step)};
  }

  bool CanFollow(const Node& node, ValueId product) const {
    switch (node.op) {
      case OpType::kNeg:
      case OpType::kReLU:
        return true;
      case OpType::kBiasAdd:
        return node.inputs[0] == product;
      case OpType::kAdd:
        return Info(node.outputs[0]).shape == Info(product).shape &&
               IsRow(Info(node.inputs[node.inputs[0] == product ? 1 : 0]).shape,
                     Info(product).shape[1]);
      default:
        return false;
    }
  }

  // Whether `shape` is broadcast to the same row, `columns` long, everywhere.
  static bool IsRow(const Shape& shape, int64_t columns) {
    const size_t rank = shape.rank();
    if (rank == 0) return true;
    return rank <= 2 && (rank == 1 || shape[0] == 1) &&
           (shape[rank - 1] == columns || shape[rank - 1] == 1);
  }

  const TensorInfo& Info(ValueId id) const { return infos_[static_cast<size_t>(id)]; }

  const Graph& graph_;
  const std::span<const TensorInfo> infos_;
  const std::vector<Readers> readers_;
  std::vector<bool> inside_;  // Whether a node belongs to an earlier one's step.
};

}  // namespace

std::string StepNodes::Name() const {
  std::string name(OpTypeName(node->op));
  for (const Node* each : following) name.append("+").append(OpTypeName(each->op));
  return name;
}

std::vector<StepNodes> FuseNodes(const Graph& graph, std::span<const TensorInfo> infos) {
  return Fusion(graph, infos).Run();
}

}  // namespace pipeserve
