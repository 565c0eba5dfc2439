#include "graph/shape_inference.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

constexpr int64_t kUnknown = Shape::kUnknownDim;
using Inputs = std::span<const TensorInfo>;
using Infos = std::vector<TensorInfo>;

Infos One(DataType dtype, const Shape& shape) { return {TensorInfo{"", dtype, shape}}; }

Status CheckArithmetic(const TensorInfo& info) {
  switch (info.dtype) {
    case DataType::kFloat32:
    case DataType::kFloat16:
    case DataType::kInt32:
      return OkStatus();
    default:
      return InvalidArgument(
          StrCat("an operand is ", info.ToString(), ", float32, float16 or int32 was wanted"));
  }
}

// Two operands of one arithmetic data type.
Status CheckPair(const TensorInfo& a, const TensorInfo& b) {
  PIPESERVE_RETURN_IF_ERROR(CheckArithmetic(a));
  if (a.dtype == b.dtype) return OkStatus();
  return InvalidArgument(StrCat("the operands are ", a.ToString(), " and ", b.ToString(),
                                ", one data type was wanted"));
}

template <typename T>
Result<const T*> AttributesOf(const Node& node) {
  const T* attributes = std::get_if<T>(&node.attributes);
  if (attributes == nullptr) return InvalidArgument("the operator's attributes are missing");
  return attributes;
}

// The dimension that both can be; nothing when they differ.
std::optional<int64_t> Merge(int64_t a, int64_t b) {
  if (a == kUnknown) return b;
  if (b == kUnknown || a == b) return a;
  return std::nullopt;
}

std::optional<Shape> Merge(const Shape& a, const Shape& b) {
  if (a.rank() != b.rank()) return std::nullopt;
  Shape merged = a;
  for (size_t i = 0; i < a.rank(); ++i) {
    const std::optional<int64_t> dim = Merge(a[i], b[i]);
    if (!dim.has_value()) return std::nullopt;
    merged[i] = *dim;
  }
  return merged;
}

// `axis` counted from the front.
Result<size_t> Axis(int64_t axis, const Shape& shape) {
  const auto rank = static_cast<int64_t>(shape.rank());
  if (axis < -rank || axis >= rank) {
    return InvalidArgument(StrCat("axis ", axis, " is none of an operand of shape ", shape));
  }
  return static_cast<size_t>(axis < 0 ? axis + rank : axis);
}

Result<Infos> InferMatMul(const Node& node, Inputs in) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto* attributes, AttributesOf<MatMulAttributes>(node));
  PIPESERVE_RETURN_IF_ERROR(CheckPair(in[0], in[1]));
  const Shape &a = in[0].shape, &b = in[1].shape;
  if (a.rank() != 2 || b.rank() != 2) {
    return InvalidArgument(
        StrCat("the operands have shapes ", a, " and ", b, ", two dimensions each were wanted"));
  }
  const bool ta = attributes->transpose_a, tb = attributes->transpose_b;
  if (!Merge(a[ta ? 0 : 1], b[tb ? 1 : 0]).has_value()) {
    return InvalidArgument(StrCat("shapes ", a, ta ? " (transposed)" : "", " and ", b,
                                  tb ? " (transposed)" : "", " do not multiply"));
  }
  return One(in[0].dtype, {a[ta ? 1 : 0], b[tb ? 0 : 1]});
}

Result<Infos> InferSame(const Node&, Inputs in) {
  PIPESERVE_RETURN_IF_ERROR(CheckArithmetic(in[0]));
  return One(in[0].dtype, in[0].shape);
}

Result<Infos> InferCast(const Node& node, Inputs in) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto* attributes, AttributesOf<CastAttributes>(node));
  for (const DataType dtype : {in[0].dtype, attributes->to}) {
    if (DataTypeSize(dtype) > 0) continue;
    return InvalidArgument(StrCat("casts ", in[0].dtype, " to ", attributes->to,
                                  ", two types of numbers were wanted"));
  }
  return One(attributes->to, in[0].shape);
}

Result<Infos> InferBroadcast(const Node&, Inputs in) {
  PIPESERVE_RETURN_IF_ERROR(CheckPair(in[0], in[1]));
  const Shape& wide = in[0].shape.rank() >= in[1].shape.rank() ? in[0].shape : in[1].shape;
  const Shape& narrow = &wide == &in[0].shape ? in[1].shape : in[0].shape;
  const size_t lead = wide.rank() - narrow.rank();
  Shape result = wide;
  for (size_t i = 0; i < narrow.rank(); ++i) {
    const int64_t a = wide[lead + i], b = narrow[i];
    const std::optional<int64_t> dim = a == 1 ? b : b == 1 ? a : Merge(a, b);
    if (!dim.has_value()) {
      return InvalidArgument(
          StrCat("shapes ", in[0].shape, " and ", in[1].shape, " do not broadcast"));
    }
    result[lead + i] = *dim;
  }
  return One(in[0].dtype, result);
}

Result<Infos> InferBiasAdd(const Node&, Inputs in) {
  PIPESERVE_RETURN_IF_ERROR(CheckPair(in[0], in[1]));
  const Shape& bias = in[1].shape;
  Shape x = in[0].shape;
  std::optional<int64_t> channels;
  if (x.rank() >= 2 && bias.rank() == 1) channels = Merge(x[1], bias[0]);
  if (!channels.has_value()) {
    return InvalidArgument(StrCat("a bias of shape ", bias, " does not fit dimension 1 of ", x));
  }
  x[1] = *channels;
  return One(in[0].dtype, x);
}

Result<Infos> InferReduceSum(const Node& node, Inputs in) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto* attributes, AttributesOf<ReduceAttributes>(node));
  PIPESERVE_RETURN_IF_ERROR(CheckArithmetic(in[0]));
  PIPESERVE_ASSIGN_OR_RETURN(const Shape shape, InferReductionShape(*attributes, in[0].shape));
  return One(in[0].dtype, shape);
}

// Resolves the -1 of `dims` when the input's size is known.
Result<Infos> InferReshape(const Node& node, Inputs in) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto* attributes, AttributesOf<ReshapeAttributes>(node));
  PIPESERVE_ASSIGN_OR_RETURN(Shape shape, Shape::Create(attributes->dims));
  const auto wildcards = std::count(shape.begin(), shape.end(), kUnknown);
  if (wildcards > 1) return InvalidArgument(StrCat("shape ", shape, " has several unknowns"));
  if (!in[0].shape.is_known()) return One(in[0].dtype, shape);

  const Status mismatch =
      InvalidArgument(StrCat("an operand of shape ", in[0].shape, " cannot take shape ", shape));
  const int64_t count = in[0].shape.num_elements();
  if (wildcards == 0) {
    if (shape.num_elements() != count) return mismatch;
    return One(in[0].dtype, shape);
  }
  const size_t at =
      static_cast<size_t>(std::find(shape.begin(), shape.end(), kUnknown) - shape.begin());
  shape[at] = 1;
  const int64_t others = shape.num_elements();
  if (others <= 0 || count % others != 0) return mismatch;
  shape[at] = count / others;
  return One(in[0].dtype, shape);
}

Result<Infos> InferTranspose(const Node& node, Inputs in) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto* attributes, AttributesOf<TransposeAttributes>(node));
  const Shape& x = in[0].shape;
  const std::vector<int64_t>& perm = attributes->perm;
  std::vector<bool> seen(x.rank(), false);
  Shape result;
  for (const int64_t source : perm) {
    const bool fits = source >= 0 && source < static_cast<int64_t>(x.rank());
    if (!fits || seen[static_cast<size_t>(source)]) break;
    seen[static_cast<size_t>(source)] = true;
    result.Append(x[static_cast<size_t>(source)]);
  }
  if (result.rank() != x.rank() || perm.size() != x.rank()) {
    return InvalidArgument(
        StrCat("(", StrJoin(perm, ","), ") is no permutation of the dimensions of ", x));
  }
  return One(in[0].dtype, result);
}

Result<Infos> InferConcat(const Node& node, Inputs in) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto* attributes, AttributesOf<AxisAttributes>(node));
  PIPESERVE_ASSIGN_OR_RETURN(const size_t axis, Axis(attributes->axis, in[0].shape));
  Shape result = in[0].shape;
  int64_t total = result[axis];
  for (const TensorInfo& part : in.subspan(1)) {
    const Shape& shape = part.shape;
    if (shape.rank() == result.rank()) {
      const int64_t size = shape[axis];
      if (total == kUnknown || size == kUnknown) {
        total = kUnknown;
      } else if (__builtin_add_overflow(total, size, &total)) {
        return InvalidArgument("the parts are too large to join");
      }
      result[axis] = size;
    }
    const std::optional<Shape> merged = Merge(result, shape);
    if (part.dtype != in[0].dtype || !merged.has_value()) {
      return InvalidArgument(StrCat("parts ", in[0].ToString(), " and ", part.ToString(),
                                    " do not join along axis ", attributes->axis));
    }
    result = *merged;
  }
  result[axis] = total;
  return One(in[0].dtype, result);
}

Result<Infos> InferSplit(const Node& node, Inputs in) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto* attributes, AttributesOf<AxisAttributes>(node));
  PIPESERVE_ASSIGN_OR_RETURN(const size_t axis, Axis(attributes->axis, in[0].shape));
  const auto parts = static_cast<int64_t>(node.outputs.size());
  Shape shape = in[0].shape;
  if (parts == 0 || (shape[axis] != kUnknown && shape[axis] % parts != 0)) {
    return InvalidArgument(StrCat("axis ", attributes->axis, " of ", shape, " does not split into ",
                                  parts, " equal parts"));
  }
  if (shape[axis] != kUnknown) shape[axis] /= parts;
  return Infos(node.outputs.size(), TensorInfo{"", in[0].dtype, shape});
}

Result<Infos> InferStridedSlice(const Node& node, Inputs in) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto* attributes, AttributesOf<StridedSliceAttributes>(node));
  PIPESERVE_ASSIGN_OR_RETURN(const Shape shape, InferSliceShape(*attributes, in[0].shape));
  return One(in[0].dtype, shape);
}

// Ranks of the node's group, held against what the file itself says.
Result<int64_t> GroupSize(const CollectiveAttributes& attributes, int rank_size) {
  const int64_t size = attributes.ranks.empty() ? static_cast<int64_t>(rank_size)
                                                : static_cast<int64_t>(attributes.ranks.size());
  if (size < 1 || (attributes.rank_size != 0 && attributes.rank_size != size)) {
    return InvalidArgument(StrCat("group ", attributes.group, " has ", size,
                                  " ranks here, the graph wants ", attributes.rank_size));
  }
  for (const int32_t rank : attributes.ranks) {
    if (rank >= 0 && rank < rank_size) continue;
    return InvalidArgument(
        StrCat("group ", attributes.group, " names rank ", rank, " of ", rank_size, " ranks"));
  }
  return size;
}

Result<Infos> InferAllReduce(const Node& node, Inputs in, int rank_size) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto* attributes, AttributesOf<CollectiveAttributes>(node));
  PIPESERVE_RETURN_IF_ERROR(GroupSize(*attributes, rank_size).status());
  return InferSame(node, in);
}

Result<Infos> InferAllGather(const Node& node, Inputs in, int rank_size) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto* attributes, AttributesOf<CollectiveAttributes>(node));
  PIPESERVE_ASSIGN_OR_RETURN(const int64_t ranks, GroupSize(*attributes, rank_size));
  Shape shape = in[0].shape;
  if (shape.rank() == 0) return InvalidArgument("a scalar has no dimension to gather along");
  if (shape[0] > std::numeric_limits<int64_t>::max() / ranks) {
    return InvalidArgument(StrCat(ranks, " parts of shape ", shape, " are too large to gather"));
  }
  if (shape[0] != kUnknown) shape[0] *= ranks;
  return One(in[0].dtype, shape);
}

Result<const MessageAttributes*> CheckMessage(const Node& node, int rank_size) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto* attributes, AttributesOf<MessageAttributes>(node));
  if (attributes->peer >= 0 && attributes->peer < rank_size) return attributes;
  return InvalidArgument(StrCat("message ", attributes->tag, " names rank ", attributes->peer,
                                " of ", rank_size, " ranks"));
}

Result<Infos> InferSend(const Node& node, int rank_size) {
  PIPESERVE_RETURN_IF_ERROR(CheckMessage(node, rank_size).status());
  return Infos();
}

Result<Infos> InferReceive(const Node& node, int rank_size) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto* attributes, CheckMessage(node, rank_size));
  if (attributes->shape.is_known() && DataTypeSize(attributes->dtype) > 0) {
    return One(attributes->dtype, attributes->shape);
  }
  return InvalidArgument(StrCat("message ", attributes->tag, " is ", attributes->dtype,
                                attributes->shape, ", numbers of a known shape were wanted"));
}

Result<Infos> Infer(const Node& node, Inputs in, int rank_size) {
  switch (node.op) {
    case OpType::kMatMul:
      return InferMatMul(node, in);
    case OpType::kNeg:
    case OpType::kReLU:
      return InferSame(node, in);
    case OpType::kCast:
      return InferCast(node, in);
    case OpType::kAdd:
    case OpType::kSub:
    case OpType::kMul:
      return InferBroadcast(node, in);
    case OpType::kBiasAdd:
      return InferBiasAdd(node, in);
    case OpType::kReduceSum:
      return InferReduceSum(node, in);
    case OpType::kReshape:
      return InferReshape(node, in);
    case OpType::kTranspose:
      return InferTranspose(node, in);
    case OpType::kConcat:
      return InferConcat(node, in);
    case OpType::kSplit:
      return InferSplit(node, in);
    case OpType::kStridedSlice:
      return InferStridedSlice(node, in);
    case OpType::kAllReduce:
      return InferAllReduce(node, in, rank_size);
    case OpType::kAllGather:
      return InferAllGather(node, in, rank_size);
    case OpType::kSend:
      return InferSend(node, rank_size);
    case OpType::kReceive:
      return InferReceive(node, rank_size);
  }
  return InvalidArgument("the operator is unknown");
}

bool IsBinary(OpType op) {
  return op == OpType::kMatMul || op == OpType::kAdd || op == OpType::kSub || op == OpType::kMul ||
         op == OpType::kBiasAdd;
}

Status CheckOperandCounts(const Node& node, Inputs in) {
  const size_t wanted = node.op == OpType::kReceive ? 0 : IsBinary(node.op) ? 2 : 1;
  const bool fits = node.op == OpType::kConcat ? !in.empty() : in.size() == wanted;
  if (!fits) return InvalidArgument(StrCat("has ", in.size(), " operands, wants ", wanted));
  const size_t results = node.op == OpType::kSend ? 0 : 1;
  if (node.op != OpType::kSplit && node.outputs.size() != results) {
    return InvalidArgument(StrCat("has ", node.outputs.size(), " results, wants ", results));
  }
  return OkStatus();
}

std::string Context(const Node& node) { return StrCat(node.name, " (", OpTypeName(node.op), ")"); }

bool IsTooLarge(const TensorInfo& info) {
  return info.shape.is_known() && !IsText(info.dtype) && info.byte_size() < 0;
}

// A graph that is walked in execution order: what each value is, as far as it has come.
class GraphWalk {
 public:
  explicit GraphWalk(const Graph& graph) : graph_(graph), defined_(graph.values.size(), false) {
    for (const Value& value : graph.values) infos_.push_back(value.info);
  }

  Status Define(ValueId id, const TensorInfo& info) {
    if (!InRange(id)) return InvalidArgument(StrCat("value ", id, " is not in the graph"));
    const size_t at = static_cast<size_t>(id);
    if (defined_[at]) return InvalidArgument(StrCat("value ", id, " is defined twice"));
    defined_[at] = true;
    infos_[at].dtype = info.dtype;
    infos_[at].shape = info.shape;
    return OkStatus();
  }

  Result<TensorInfo> Read(ValueId id) const {
    if (!InRange(id) || !defined_[static_cast<size_t>(id)]) {
      return InvalidArgument(StrCat("value ", id, " is read before it is defined"));
    }
    return infos_[static_cast<size_t>(id)];
  }

  Infos Take() { return std::move(infos_); }

 private:
  bool InRange(ValueId id) const {
    return id >= 0 && static_cast<size_t>(id) < graph_.values.size();
  }

  const Graph& graph_;
  std::vector<bool> defined_;
  Infos infos_;
};

Status DefineInputs(const Graph& graph, Inputs inputs, GraphWalk& walk) {
  if (inputs.size() != graph.inputs.size()) {
    return InvalidArgument(StrCat("graph ", graph.name, " wants ", graph.inputs.size(), " inputs, ",
                                  inputs.size(), " came"));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ValueId id = graph.inputs[i];
    if (id < 0 || static_cast<size_t>(id) >= graph.values.size()) {
      return InvalidArgument(StrCat("input ", i, " is not in the graph"));
    }
    const TensorInfo& wanted = graph.info(id);
    const std::optional<Shape> shape = Merge(wanted.shape, inputs[i].shape);
    if (inputs[i].dtype != wanted.dtype || !shape.has_value()) {
      return InvalidArgument(StrCat("input ", wanted.name, " is ", inputs[i].ToString(), ", ",
                                    wanted.ToString(), " was wanted"));
    }
    PIPESERVE_RETURN_IF_ERROR(walk.Define(id, {"", wanted.dtype, *shape}));
  }
  return OkStatus();
}

Status WalkNode(const Node& node, int rank_size, GraphWalk& walk) {
  Infos inputs;
  for (const ValueId id : node.inputs) {
    PIPESERVE_ASSIGN_OR_RETURN(TensorInfo info, walk.Read(id));
    inputs.push_back(std::move(info));
  }
  PIPESERVE_ASSIGN_OR_RETURN(const Infos outputs, InferNode(node, inputs, rank_size));
  for (size_t i = 0; i < outputs.size(); ++i) {
    PIPESERVE_RETURN_IF_ERROR(walk.Define(node.outputs[i], outputs[i]).WithContext(Context(node)));
  }
  return OkStatus();
}

}  // namespace

Result<std::vector<TensorInfo>> InferNode(const Node& node, std::span<const TensorInfo> inputs,
                                          int rank_size) {
  const Status counts = CheckOperandCounts(node, inputs);
  if (!counts.ok()) return counts.WithContext(Context(node));
  Result<Infos> outputs = Infer(node, inputs, rank_size);
  if (!outputs.ok()) return outputs.status().WithContext(Context(node));
  for (const TensorInfo& info : *outputs) {
    if (!IsTooLarge(info)) continue;
    return InvalidArgument(
        StrCat(Context(node), ": a result of ", info.ToString(), " is too large"));
  }
  return outputs;
}

Result<std::vector<TensorInfo>> InferShapes(const Graph& graph, std::span<const TensorInfo> inputs,
                                            int rank_size) {
  GraphWalk walk(graph);
  PIPESERVE_RETURN_IF_ERROR(DefineInputs(graph, inputs, walk));
  for (const auto& [id, tensor] : graph.constants) {
    PIPESERVE_RETURN_IF_ERROR(walk.Define(id, {"", tensor.dtype(), tensor.shape()}));
  }
  for (const Node& node : graph.nodes) {
    PIPESERVE_RETURN_IF_ERROR(WalkNode(node, rank_size, walk));
  }
  for (const ValueId id : graph.outputs) PIPESERVE_RETURN_IF_ERROR(walk.Read(id).status());
  return walk.Take();
}

}  // namespace pipeserve
