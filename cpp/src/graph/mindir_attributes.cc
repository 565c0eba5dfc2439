#include "graph/mindir_attributes.h"

#include <algorithm>

#include "base/str_cat.h"
#include "mindir.pb.h"

namespace pipeserve {
namespace {

using mindir::AttributeProto;
using mindir::NodeProto;

mindir::TensorProto::DataType MindirTypeOf(DataType dtype) {
  using mindir::TensorProto;
  switch (dtype) {
    case DataType::kBool:
      return TensorProto::BOOL;
    case DataType::kInt8:
      return TensorProto::INT8;
    case DataType::kInt16:
      return TensorProto::INT16;
    case DataType::kInt32:
      return TensorProto::INT32;
    case DataType::kInt64:
      return TensorProto::INT64;
    case DataType::kUint8:
      return TensorProto::UINT8;
    case DataType::kUint16:
      return TensorProto::UINT16;
    case DataType::kUint32:
      return TensorProto::UINT32;
    case DataType::kUint64:
      return TensorProto::UINT64;
    case DataType::kFloat16:
      return TensorProto::FLOAT16;
    case DataType::kFloat32:
      return TensorProto::FLOAT;
    case DataType::kFloat64:
      return TensorProto::DOUBLE;
    case DataType::kString:
    case DataType::kBytes:
      return TensorProto::STRING;
    case DataType::kUnknown:
      return TensorProto::UNDEFINED;
  }
  return TensorProto::UNDEFINED;
}

// "Tuple[value1,value2,],": one name for each of `count` leaves.
std::string Sequence(std::string_view kind, std::string_view leaf, size_t count) {
  std::string text = StrCat(kind, "[");
  for (size_t i = 1; i <= count; ++i) text += StrCat(leaf, i, ",");
  return text + "],";
}

AttributeProto& AddAttribute(NodeProto& node, std::string_view name, std::string_view ref_name,
                             AttributeProto::AttributeType type) {
  AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(std::string(name));
  attribute.set_ref_attr_name(std::string(ref_name));
  attribute.set_type(type);
  return attribute;
}

void AddBool(NodeProto& node, std::string_view name, bool value) {
  AddAttribute(node, name, "scalar:value0", AttributeProto::BOOL).set_i(value ? 1 : 0);
}

void AddString(NodeProto& node, std::string_view name, std::string_view value) {
  AddAttribute(node, name, "scalar:value0", AttributeProto::STRING).set_s(std::string(value));
}

void AddLabels(NodeProto& node, std::string_view name, std::span<const std::string_view> labels) {
  AttributeProto& attribute =
      AddAttribute(node, name, StrCat("scalar:", Sequence("List", "value", labels.size())),
                   AttributeProto::STRING);
  for (const std::string_view label : labels) attribute.add_strings(std::string(label));
}

struct OperatorLabels {
  std::vector<std::string_view> inputs;
  std::string_view output;
};

// What MindSpore's operators call their operands; none where it names none.
OperatorLabels LabelsOf(OpType op) {
  switch (op) {
    case OpType::kMatMul:
      return {{"x1", "x2"}, "output"};
    case OpType::kNeg:
      return {{"x"}, "y"};
    case OpType::kAdd:
    case OpType::kSub:
    case OpType::kMul:
      return {{"x", "y"}, "output"};
    case OpType::kBiasAdd:
      return {{"x", "b"}, "output"};
    case OpType::kReLU:
      return {{"x"}, "output"};
    case OpType::kCast:
      return {{"x", "dst_type"}, "output"};
    case OpType::kReduceSum:
      return {{"input_x", "axis"}, "y"};
    case OpType::kReshape:
      return {{"tensor", "shape"}, "output"};
    case OpType::kTranspose:
      return {{"x", "perm"}, "output"};
    case OpType::kStridedSlice:
      return {{"x", "begin", "end", "strides"}, "output"};
    case OpType::kConcat:
    case OpType::kSplit:
    case OpType::kAllReduce:
    case OpType::kAllGather:
    case OpType::kSend:
    case OpType::kReceive:
      return {};
  }
  return {};
}

void AddMatMul(NodeProto& node, const MatMulAttributes& attributes) {
  AddBool(node, "transpose_x1", attributes.transpose_a);
  AddBool(node, "transpose_x2", attributes.transpose_b);
  AddBool(node, "transpose_a", attributes.transpose_a);
  AddBool(node, "transpose_b", attributes.transpose_b);
}

void AddStridedSlice(NodeProto& node, const StridedSliceAttributes& attributes) {
  AddInt(node, "begin_mask", attributes.begin_mask);
  AddInt(node, "end_mask", attributes.end_mask);
  AddInt(node, "ellipsis_mask", attributes.ellipsis_mask);
  AddInt(node, "new_axis_mask", attributes.new_axis_mask);
  AddInt(node, "shrink_axis_mask", attributes.shrink_axis_mask);
}

void AddMessage(NodeProto& node, OpType op, const MessageAttributes& attributes) {
  const std::vector<int32_t>& ranks = attributes.group.ranks;
  const auto index = std::ranges::find(ranks, attributes.peer) - ranks.begin();
  AddInt(node, "sr_tag", attributes.tag);
  AddInt(node, op == OpType::kSend ? "dest_rank" : "src_rank",
         ranks.empty() ? attributes.peer : index);
  AddString(node, "group", attributes.group.group);
  AddString(node, "group_back", attributes.group.group);
  if (op == OpType::kSend) return;
  AddTuple(node, "shape", attributes.shape.dims());
  AddType(node, "dtype", attributes.dtype);
}

void AddCollective(NodeProto& node, OpType op, const CollectiveAttributes& attributes) {
  AddString(node, "group", attributes.group);
  AddString(node, "group_ranks",
            attributes.ranks.empty() ? "WORLD_GROUP" : StrJoin(attributes.ranks, "-"));
  AddInt(node, "fusion", 0);
  if (op == OpType::kAllReduce) {
    AddString(node, "op", "sum");
    AddInt(node, "index", 0);
    return;
  }
  AddBool(node, "mean_flag", false);
  if (attributes.rank_size > 0) AddInt(node, "rank_size", attributes.rank_size);
}

}  // namespace

void SetTensorInfo(mindir::TensorProto& proto, DataType dtype, const Shape& shape) {
  for (const int64_t dim : shape) proto.add_dims(dim);
  proto.set_data_type(MindirTypeOf(dtype));
}

void AddInt(NodeProto& node, std::string_view name, int64_t value) {
  AddAttribute(node, name, "scalar:value0", AttributeProto::INT64).set_i(value);
}

void AddTuple(NodeProto& node, std::string_view name, std::span<const int64_t> values) {
  AttributeProto& attribute =
      AddAttribute(node, name, StrCat("scalar:", Sequence("Tuple", "value", values.size())),
                   AttributeProto::INT64);
  for (const int64_t value : values) attribute.add_ints(value);
}

void AddType(NodeProto& node, std::string_view name, DataType dtype) {
  mindir::TensorProto& tensor =
      *AddAttribute(node, name, "type:value0", AttributeProto::TENSORS).add_tensors();
  tensor.set_name("value0");
  tensor.set_data_type(MindirTypeOf(dtype));
}

void AddMonad(NodeProto& node) {
  AttributeProto& attribute = *node.add_attribute();
  attribute.set_name("value");
  attribute.set_ref_attr_name("Monad:UMonad");
}

void AddShape(NodeProto& node, std::span<const TensorInfo> infos, bool is_tuple) {
  AttributeProto& attribute = *node.add_attribute();
  for (size_t i = 0; i < infos.size(); ++i) {
    mindir::TensorProto& tensor = *attribute.add_tensors();
    SetTensorInfo(tensor, infos[i].dtype, infos[i].shape);
    tensor.set_name(StrCat("shape", i + 1));
  }
  attribute.set_ref_attr_name(
      StrCat("shape:", is_tuple ? Sequence("Tuple", "shape", infos.size()) : "shape1,"));
}

void AddMonadShape(NodeProto& node) {
  node.add_attribute()->set_ref_attr_name("shape:UMonadType,");
}

void AddOperatorAttributes(NodeProto& proto, const Node& node) {
  if (const auto* matmul = std::get_if<MatMulAttributes>(&node.attributes)) {
    AddMatMul(proto, *matmul);
  } else if (const auto* reduce = std::get_if<ReduceAttributes>(&node.attributes)) {
    AddBool(proto, "keep_dims", reduce->keep_dims);
  } else if (const auto* slice = std::get_if<StridedSliceAttributes>(&node.attributes)) {
    AddStridedSlice(proto, *slice);
  } else if (const auto* axis = std::get_if<AxisAttributes>(&node.attributes)) {
    AddInt(proto, "axis", axis->axis);
  } else if (const auto* collective = std::get_if<CollectiveAttributes>(&node.attributes)) {
    AddCollective(proto, node.op, *collective);
  } else if (const auto* message = std::get_if<MessageAttributes>(&node.attributes)) {
    AddMessage(proto, node.op, *message);
  }
  if (node.op == OpType::kSplit) {
    AddInt(proto, "output_num", static_cast<int64_t>(node.outputs.size()));
  }
  if (node.op == OpType::kBiasAdd) AddString(proto, "format", "NCHW");
  const OperatorLabels labels = LabelsOf(node.op);
  if (labels.inputs.empty()) return;
  AddLabels(proto, "input_names", labels.inputs);
  AddLabels(proto, "output_names", std::span(&labels.output, 1));
}

}  // namespace pipeserve
