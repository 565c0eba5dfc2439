#include "graph/layout_rules.h"

#include <algorithm>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

constexpr int kNoIndex = -1;

// Which index of the operator each dimension runs over, as in y[m,n] = sum over k of a[m,k]
// b[k,n]. A dimension that is broadcast has none. An index absent from the result is summed over.
struct Indexing {
  std::vector<std::vector<int>> operands;
  std::vector<int> result;
  int count = 0;
};

Indexing MatMulIndexing(const MatMulAttributes& attributes) {
  constexpr int kRow = 0, kInner = 1, kColumn = 2;
  Indexing indexing{{{kRow, kInner}, {kInner, kColumn}}, {kRow, kColumn}, 3};
  if (attributes.transpose_a) std::swap(indexing.operands[0][0], indexing.operands[0][1]);
  if (attributes.transpose_b) std::swap(indexing.operands[1][0], indexing.operands[1][1]);
  return indexing;
}

// Operands are aligned at the last dimension, but a bias at dimension 1.
Indexing ElementwiseIndexing(const NodeOperands& operands) {
  const Shape& result = operands.result;
  Indexing indexing;
  indexing.count = static_cast<int>(result.rank());
  for (int i = 0; i < indexing.count; ++i) indexing.result.push_back(i);
  for (size_t k = 0; k < operands.shapes.size(); ++k) {
    const Shape& shape = operands.shapes[k];
    const bool is_bias = operands.node->op == OpType::kBiasAdd && k == 1;
    const size_t offset = is_bias ? 1 : result.rank() - shape.rank();
    std::vector<int>& indices = indexing.operands.emplace_back();
    for (size_t dim = 0; dim < shape.rank(); ++dim) {
      const bool broadcast = shape[dim] == 1 && result[dim + offset] != 1;
      indices.push_back(broadcast ? kNoIndex : static_cast<int>(dim + offset));
    }
  }
  return indexing;
}

Indexing IndexingOf(const NodeOperands& operands) {
  return operands.node->op == OpType::kMatMul
             ? MatMulIndexing(std::get<MatMulAttributes>(operands.node->attributes))
             : ElementwiseIndexing(operands);
}

// The layouts when index i is cut along device axis `axis_of_index[i]`.
NodeLayouts Place(const Indexing& indexing, const std::vector<int64_t>& devices,
                  const std::vector<int>& axis_of_index) {
  const auto place = [&](const std::vector<int>& indices) {
    Layout layout{devices, {}};
    for (const int index : indices) {
      layout.axes.push_back(index == kNoIndex ? Layout::kWhole
                                              : axis_of_index[static_cast<size_t>(index)]);
    }
    return layout;
  };
  NodeLayouts layouts;
  for (const std::vector<int>& indices : indexing.operands) {
    layouts.operands.push_back(place(indices));
  }
  layouts.result = place(indexing.result);
  for (int index = 0; index < indexing.count; ++index) {
    const int axis = axis_of_index[static_cast<size_t>(index)];
    const bool summed =
        std::find(indexing.result.begin(), indexing.result.end(), index) == indexing.result.end();
    if (summed && axis != Layout::kWhole && devices[static_cast<size_t>(axis)] > 1) {
      layouts.reduce_axis = axis;
    }
  }
  return layouts;
}

bool Divides(int64_t parts, int64_t dim) { return parts == 1 || (dim >= 0 && dim % parts == 0); }

// Whether every dimension that runs over `index` falls into `parts` equal pieces.
bool IndexDivides(const NodeOperands& operands, const Indexing& indexing, int index,
                  int64_t parts) {
  for (size_t k = 0; k < operands.shapes.size(); ++k) {
    for (size_t dim = 0; dim < operands.shapes[k].rank(); ++dim) {
      if (indexing.operands[k][dim] == index && !Divides(parts, operands.shapes[k][dim])) {
        return false;
      }
    }
  }
  return true;
}

std::string ToString(const Strategy& strategy) {
  std::string text = "(";
  for (size_t i = 0; i < strategy.size(); ++i) {
    text += StrCat(i == 0 ? "" : ",", "(", StrJoin(strategy[i], ","), ")");
  }
  return text + ")";
}

// One entry per operand, one number per dimension, each a whole fraction of its dimension.
Status CheckFit(const NodeOperands& operands, const Strategy& strategy) {
  if (strategy.size() != operands.shapes.size()) {
    return InvalidArgument(StrCat("has ", strategy.size(), " entries, the operator has ",
                                  operands.shapes.size(), " operands"));
  }
  for (size_t k = 0; k < strategy.size(); ++k) {
    const Shape& shape = operands.shapes[k];
    if (strategy[k].size() != shape.rank()) {
      return InvalidArgument(
          StrCat("gives operand ", k, " ", strategy[k].size(), " numbers, its shape is ", shape));
    }
    for (size_t dim = 0; dim < shape.rank(); ++dim) {
      const int64_t parts = strategy[k][dim];
      if (parts < 1) return InvalidArgument(StrCat("holds ", parts, ", at least 1 is wanted"));
      if (Divides(parts, shape[dim])) continue;
      return InvalidArgument(shape[dim] == Shape::kUnknownDim
                                 ? StrCat("cuts dimension ", dim, " of operand ", k,
                                          ", which is unknown, ", parts, " ways")
                                 : StrCat("cuts dimension ", dim, " of operand ", k, " ", parts,
                                          " ways, its size is ", shape[dim]));
    }
  }
  return OkStatus();
}

// How many ways each index is cut.
Result<std::vector<int64_t>> PartsOfIndices(const Indexing& indexing, const Strategy& strategy) {
  std::vector<int64_t> parts(static_cast<size_t>(indexing.count), 0);
  for (size_t k = 0; k < strategy.size(); ++k) {
    for (size_t dim = 0; dim < strategy[k].size(); ++dim) {
      const int index = indexing.operands[k][dim];
      if (index == kNoIndex) continue;
      int64_t& known = parts[static_cast<size_t>(index)];
      if (known != 0 && known != strategy[k][dim]) {
        return InvalidArgument(StrCat("contradicts itself: dimension ", dim, " of operand ", k,
                                      " is cut ", strategy[k][dim], " ways, the one it goes with ",
                                      known, " ways"));
      }
      known = strategy[k][dim];
    }
  }
  for (int64_t& known : parts) known = std::max<int64_t>(known, 1);
  return parts;
}

Result<NodeLayouts> ApplyStrategy(const NodeOperands& operands, const Strategy& strategy,
                                  int64_t rank_size) {
  PIPESERVE_RETURN_IF_ERROR(CheckFit(operands, strategy));
  const Indexing indexing = IndexingOf(operands);
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<int64_t> parts, PartsOfIndices(indexing, strategy));
  int64_t copies = rank_size;
  for (const int64_t each : parts) {
    if (copies % each != 0) {
      return InvalidArgument(StrCat("cuts ", StrJoin(parts, " x "), " ways, which does not divide ",
                                    rank_size, " ranks"));
    }
    copies /= each;
  }
  std::vector<int64_t> devices = {copies};
  std::vector<int> axis_of_index;
  for (const int64_t each : parts) {
    axis_of_index.push_back(static_cast<int>(devices.size()));
    devices.push_back(each);
  }
  return Place(indexing, devices, axis_of_index);
}

// Takes over the axes of operand `k` for indices that are still whole.
void Adopt(const NodeOperands& operands, const Indexing& indexing, size_t k,
           std::vector<int>& axis_of_index) {
  const Layout& layout = *operands.layouts[k];
  for (size_t dim = 0; dim < layout.axes.size(); ++dim) {
    const int index = indexing.operands[k][dim];
    const bool taken = std::find(axis_of_index.begin(), axis_of_index.end(), layout.axes[dim]) !=
                       axis_of_index.end();
    if (index == kNoIndex || layout.parts(dim) == 1 || taken) continue;
    int& axis = axis_of_index[static_cast<size_t>(index)];
    if (axis == Layout::kWhole && IndexDivides(operands, indexing, index, layout.parts(dim))) {
      axis = layout.axes[dim];
    }
  }
}

}  // namespace

bool CanBeCut(OpType op) {
  switch (op) {
    case OpType::kMatMul:
    case OpType::kNeg:
    case OpType::kAdd:
    case OpType::kSub:
    case OpType::kMul:
    case OpType::kBiasAdd:
    case OpType::kReLU:
    case OpType::kCast:
      return true;
    default:
      return false;
  }
}

Result<NodeLayouts> LayoutsByStrategy(const NodeOperands& operands, const Strategy& strategy,
                                      int64_t rank_size) {
  const std::string_view op = OpTypeName(operands.node->op);
  if (!CanBeCut(operands.node->op)) {
    return InvalidArgument(
        StrCat("strategy ", ToString(strategy), " is given to ", op, ", which cannot be cut"));
  }
  Result<NodeLayouts> layouts = ApplyStrategy(operands, strategy, rank_size);
  if (layouts.ok()) return layouts;
  return InvalidArgument(
      StrCat("strategy ", ToString(strategy), " of ", op, " ", layouts.status().message()));
}

NodeLayouts LayoutsByOperands(const NodeOperands& operands, int64_t rank_size) {
  const Indexing indexing = IndexingOf(operands);
  std::vector<int> axis_of_index(static_cast<size_t>(indexing.count), Layout::kWhole);
  const std::vector<int64_t>* devices = nullptr;
  for (size_t k = 0; k < operands.layouts.size(); ++k) {
    const Layout* layout = operands.layouts[k];
    if (layout == nullptr || layout->is_whole()) continue;
    if (devices == nullptr) devices = &layout->devices;
    if (layout->devices == *devices) Adopt(operands, indexing, k, axis_of_index);
  }
  if (devices != nullptr) return Place(indexing, *devices, axis_of_index);
  if (operands.node->op == OpType::kMatMul) {
    const int row = indexing.result.front();
    if (IndexDivides(operands, indexing, row, rank_size)) {
      axis_of_index[static_cast<size_t>(row)] = 0;
    }
  }
  return Place(indexing, {rank_size}, axis_of_index);
}

}  // namespace pipeserve
