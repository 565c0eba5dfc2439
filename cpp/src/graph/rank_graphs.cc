#include "graph/rank_graphs.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/str_cat.h"

namespace pipeserve {
namespace {

constexpr std::string_view kWorldGroup = "hccl_world_group";

// "<size>-<hash of 0-1-2-3>", which is how MindSpore names a group. The library's hash gives the
// very names that it gives; ranks agree on them because one export names them all.
std::string GroupName(const std::vector<int32_t>& ranks) {
  return StrCat(ranks.size(), "-", std::hash<std::string>{}(StrJoin(ranks, "-")));
}

TensorInfo LocalInfo(const TensorInfo& whole, const Layout& layout) {
  return {whole.name, whole.dtype, layout.LocalShape(whole.shape)};
}

// Copies the part of `tensor` that starts at `begin` and is as large as `box` to `out`, row by row.
// `offset` counts the elements before the part, down to dimension `dim`.
void CopyBox(const Tensor& tensor, const std::vector<int64_t>& begin, const Shape& box, size_t dim,
             int64_t offset, std::byte*& out) {
  const auto element = static_cast<int64_t>(DataTypeSize(tensor.dtype()));
  offset = offset * tensor.shape()[dim] + begin[dim];
  if (dim + 1 == box.rank()) {
    const auto row_bytes = static_cast<size_t>(box[dim] * element);
    std::memcpy(out, tensor.data_as<std::byte>() + offset * element, row_bytes);
    out += row_bytes;
    return;
  }
  for (int64_t i = 0; i < box[dim]; ++i) CopyBox(tensor, begin, box, dim + 1, offset + i, out);
}

Tensor PieceOf(const Tensor& tensor, const Layout& layout, int64_t rank) {
  if (layout.is_whole()) return tensor;
  const Shape box = layout.LocalShape(tensor.shape());
  std::vector<int64_t> begin;
  for (size_t dim = 0; dim < box.rank(); ++dim) begin.push_back(layout.piece(dim, rank) * box[dim]);
  Tensor piece(tensor.dtype(), box);
  std::byte* out = piece.mutable_data_as<std::byte>();
  if (piece.byte_size() > 0) CopyBox(tensor, begin, box, 0, 0, out);
  return piece;
}

}  // namespace

RankGraphs::RankGraphs(const std::string& name, int rank_size, int stage, int stages)
    : stage_(stage),
      stages_(stages),
      graphs_(static_cast<size_t>(rank_size)),
      groups_(static_cast<size_t>(rank_size)) {
  for (Graph& graph : graphs_) graph.name = name;
}

Placed RankGraphs::AddInput(const TensorInfo& info) {
  names_.insert(info.name);
  ValueId id = 0;
  for (Graph& graph : graphs_) {
    id = graph.AddValue(info);
    graph.inputs.push_back(id);
  }
  return {id, info, Layout::Whole(rank_size(), info.shape.rank())};
}

Placed RankGraphs::AddConstant(const TensorInfo& info, const Tensor& tensor, const Layout& layout) {
  Placed placed{0, info, layout};
  TensorInfo local = LocalInfo(info, layout);
  local.name = UniqueName(info.name);
  for (int64_t rank = 0; rank < rank_size(); ++rank) {
    Graph& graph = graphs_[static_cast<size_t>(rank)];
    placed.id = graph.AddValue(local);
    graph.constants[placed.id] = PieceOf(tensor, layout, rank);
  }
  return placed;
}

std::vector<Placed> RankGraphs::AddNode(const Node& node, const std::vector<ValueId>& inputs,
                                        const std::vector<TensorInfo>& infos,
                                        const std::vector<Layout>& layouts) {
  std::vector<TensorInfo> locals;
  for (size_t i = 0; i < infos.size(); ++i) locals.push_back(LocalInfo(infos[i], layouts[i]));
  const std::vector<ValueId> ids =
      Emit(node.op, node.name, inputs, locals, [&](int64_t) { return node.attributes; });
  std::vector<Placed> results;
  for (size_t i = 0; i < infos.size(); ++i) results.push_back({ids[i], infos[i], layouts[i]});
  return results;
}

Placed RankGraphs::AllReduce(const Placed& value, int axis) {
  TensorInfo local = LocalInfo(value.whole, value.layout);
  local.name = NewName(OpType::kAllReduce);
  const ValueId id =
      Emit(OpType::kAllReduce, local.name, {value.id}, {local}, GroupAlong(value.layout, axis))
          .front();
  return {id, value.whole, value.layout};
}

Placed RankGraphs::Redistribute(const Placed& value, const Layout& layout) {
  Placed current = value;
  for (size_t dim = 0; dim < layout.axes.size(); ++dim) {
    if (!Refines(layout, current.layout, dim)) current = Gather(current, dim);
  }
  TensorInfo local = LocalInfo(current.whole, current.layout);
  for (size_t dim = 0; dim < layout.axes.size(); ++dim) {
    if (layout.parts(dim) != current.layout.parts(dim)) {
      current.id = Slice(current.id, local, current.layout, layout, dim);
    }
  }
  current.layout = layout;
  return current;
}

void RankGraphs::AddOutput(const Placed& value) {
  PIPESERVE_DCHECK(value.layout.is_whole());
  for (Graph& graph : graphs_) graph.outputs.push_back(value.id);
}

std::vector<ValueId> RankGraphs::Emit(OpType op, std::string name,
                                      const std::vector<ValueId>& inputs,
                                      const std::vector<TensorInfo>& locals,
                                      const AttributesOfRank& attributes) {
  std::vector<ValueId> outputs;
  for (int64_t rank = 0; rank < rank_size(); ++rank) {
    Graph& graph = graphs_[static_cast<size_t>(rank)];
    outputs.clear();
    for (const TensorInfo& info : locals) outputs.push_back(graph.AddValue(info));
    graph.nodes.push_back({op, name, inputs, outputs, attributes(rank)});
  }
  return outputs;
}

std::string RankGraphs::NewName(OpType op) {
  return StrCat(OpTypeName(op), "-shard", graphs_.front().nodes.size());
}

std::string RankGraphs::UniqueName(const std::string& wanted) {
  std::string name = wanted;
  for (int i = 1; !names_.insert(name).second; ++i) name = StrCat(wanted, ".", i);
  return name;
}

RankGraphs::AttributesOfRank RankGraphs::GroupAlong(const Layout& layout, int axis) {
  return [this, &layout, axis](int64_t rank) -> Attributes {
    std::vector<int32_t> ranks = layout.GroupOf(axis, rank);
    for (int32_t& each : ranks) each = GlobalRank(each, stage_);
    return GroupOf(rank, std::move(ranks));
  };
}

CollectiveAttributes RankGraphs::GroupOf(int64_t rank, std::vector<int32_t> ranks) {
  const auto size = static_cast<int64_t>(ranks.size());
  if (size == rank_size() * stages_) return {std::string(kWorldGroup), {}, size};
  const std::string name = GroupName(ranks);
  groups_[static_cast<size_t>(rank)][name] = ranks;
  return {name, std::move(ranks), size};
}

// The counterparts of all stages are a group, as in MindSpore.
Attributes RankGraphs::MessageWith(int stage, int64_t rank, const MessageAttributes& message) {
  std::vector<int32_t> counterparts;
  for (int each = 0; each < stages_; ++each) counterparts.push_back(GlobalRank(rank, each));
  MessageAttributes attributes = message;
  attributes.peer = GlobalRank(rank, stage);
  attributes.group = GroupOf(rank, std::move(counterparts));
  return attributes;
}

Placed RankGraphs::SendTo(RankGraphs& receivers, const Placed& value, int64_t tag) {
  TensorInfo local = LocalInfo(value.whole, value.layout);
  MessageAttributes message{.tag = tag, .dtype = DataType::kUnknown};
  Emit(OpType::kSend, NewName(OpType::kSend), {value.id}, {},
       [&](int64_t rank) { return MessageWith(receivers.stage_, rank, message); });
  message.dtype = local.dtype;
  message.shape = local.shape;
  local.name = receivers.NewName(OpType::kReceive);
  const ValueId id =
      receivers
          .Emit(OpType::kReceive, local.name, {}, {local},
                [&](int64_t rank) { return receivers.MessageWith(stage_, rank, message); })
          .front();
  return {id, value.whole, value.layout};
}

// AllGather joins along dimension 0 only; for another one the parts are split and joined again.
Placed RankGraphs::Gather(const Placed& value, size_t dim) {
  const int axis = value.layout.axes[dim];
  const int64_t parts = value.layout.parts(dim);
  Placed gathered = value;
  gathered.layout.axes[dim] = Layout::kWhole;
  const TensorInfo piece = LocalInfo(value.whole, value.layout);
  const auto named = [&](OpType op, Shape shape) {
    return TensorInfo{NewName(op), piece.dtype, shape};
  };

  Shape stacked = piece.shape;
  if (stacked[0] != Shape::kUnknownDim) stacked[0] *= parts;
  TensorInfo info = named(OpType::kAllGather, stacked);
  gathered.id =
      Emit(OpType::kAllGather, info.name, {value.id}, {info}, GroupAlong(value.layout, axis))
          .front();
  if (dim == 0) return gathered;

  info = named(OpType::kSplit, piece.shape);
  std::vector<TensorInfo> pieces;
  for (int64_t i = 0; i < parts; ++i) {
    pieces.push_back({StrCat(info.name, ".", i), info.dtype, info.shape});
  }
  const std::vector<ValueId> split = Emit(OpType::kSplit, info.name, {gathered.id}, pieces,
                                          [](int64_t) { return AxisAttributes{0}; });
  info = named(OpType::kConcat, gathered.layout.LocalShape(value.whole.shape));
  gathered.id = Emit(OpType::kConcat, info.name, split, {info}, [dim](int64_t) {
                  return AxisAttributes{static_cast<int64_t>(dim)};
                }).front();
  return gathered;
}

// Cuts one dimension of what each rank holds, described by `local`, from coarse to fine pieces.
ValueId RankGraphs::Slice(ValueId value, TensorInfo& local, const Layout& coarse,
                          const Layout& fine, size_t dim) {
  const Shape held = local.shape;
  const int64_t ratio = fine.parts(dim) / coarse.parts(dim);
  const int64_t size = held[dim] / ratio;
  local.name = NewName(OpType::kStridedSlice);
  local.shape[dim] = size;
  const auto slice_of = [&](int64_t rank) {
    const int64_t index = fine.piece(dim, rank) - coarse.piece(dim, rank) * ratio;
    StridedSliceAttributes slice;
    slice.begin.assign(held.rank(), 0);
    slice.end.assign(held.begin(), held.end());
    slice.strides.assign(held.rank(), 1);
    slice.begin[dim] = index * size;
    slice.end[dim] = (index + 1) * size;
    for (size_t i = 0; i < held.rank(); ++i) {
      if (held[i] == Shape::kUnknownDim) slice.end_mask |= int64_t{1} << i;
    }
    return slice;
  };
  return Emit(OpType::kStridedSlice, local.name, {value}, {local}, slice_of).front();
}

}  // namespace pipeserve
