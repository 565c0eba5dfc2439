#include "graph/operators.h"

#include <array>
#include <optional>

#include "base/str_cat.h"
#include "graph/collective_group.h"
#include "graph/mindir_tensor.h"
#include "mindir.pb.h"

namespace pipeserve {
namespace {

constexpr int64_t kMostParts = 1024;  // Of a Split.

// Finds the arguments of one use: by attribute name (1.3, 2.0) or by input position (2.10).
class OperatorReader {
 public:
  OperatorReader(const OperatorUse& use, const ReadOptions& options, const Graph& graph,
                 EdgeTable& edges)
      : use_(use), options_(options), graph_(graph), edges_(edges) {}

  Status MatMul(Node& node) {
    MatMulAttributes attributes;
    PIPESERVE_ASSIGN_OR_RETURN(attributes.transpose_a, Flag("transpose_a", "transpose_x1", 2));
    PIPESERVE_ASSIGN_OR_RETURN(attributes.transpose_b, Flag("transpose_b", "transpose_x2", 3));
    node.attributes = attributes;
    return Operands(node, 2);
  }

  Status Unary(Node& node) { return Operands(node, 1); }

  Status Cast(Node& node) {
    CastAttributes attributes;
    PIPESERVE_ASSIGN_OR_RETURN(const Literal to, Required("dst_type", 1));
    PIPESERVE_ASSIGN_OR_RETURN(attributes.to, DataTypeOf(to, "dst_type"));
    node.attributes = attributes;
    return Operands(node, 1);
  }

  // A lone number takes the other operand's data type.
  Status Binary(Node& node) {
    const EdgeId a = use_.inputs[0], b = use_.inputs[1];
    const bool a_is_number = edges_.IsNumber(a), b_is_number = edges_.IsNumber(b);
    if (a_is_number == b_is_number) return Operands(node, 2);
    PIPESERVE_ASSIGN_OR_RETURN(const ValueId tensor, edges_.TensorAt(a_is_number ? b : a));
    PIPESERVE_ASSIGN_OR_RETURN(const ValueId number,
                               edges_.NumberAt(a_is_number ? a : b, graph_.info(tensor).dtype));
    node.inputs = a_is_number ? std::vector{number, tensor} : std::vector{tensor, number};
    return OkStatus();
  }

  Status BiasAdd(Node& node) {
    PIPESERVE_ASSIGN_OR_RETURN(const std::optional<Literal> format, Argument("format", 2));
    if (format.has_value()) {
      constexpr int64_t kNumberOfNchw = 0;
      const auto* text = std::get_if<std::string>(&format->value);
      const auto* number = std::get_if<int64_t>(&format->value);
      const bool nchw =
          text != nullptr ? *text == "NCHW" : number != nullptr && *number == kNumberOfNchw;
      if (!nchw) return Unimplemented("a data format other than NCHW is not supported");
    }
    return Operands(node, 2);
  }

  Status ReduceSum(Node& node) {
    ReduceAttributes attributes;
    PIPESERVE_ASSIGN_OR_RETURN(attributes.axes, Ints("axis", 1));
    PIPESERVE_ASSIGN_OR_RETURN(const int64_t keep_dims, Int("keep_dims", 2));
    attributes.keep_dims = keep_dims != 0;
    PIPESERVE_ASSIGN_OR_RETURN(const std::optional<Literal> skip, Argument("skip_mode", 3));
    if (skip.has_value() && attributes.axes.empty()) {
      PIPESERVE_ASSIGN_OR_RETURN(const int64_t skips, IntOf(*skip, "skip_mode"));
      if (skips != 0)
        return Unimplemented("skip_mode, which makes no axis mean no sum, is not supported");
    }
    node.attributes = std::move(attributes);
    return Operands(node, 1);
  }

  Status Reshape(Node& node) {
    ReshapeAttributes attributes;
    PIPESERVE_ASSIGN_OR_RETURN(attributes.dims, Ints("shape", 1));
    node.attributes = std::move(attributes);
    return Operands(node, 1);
  }

  Status Transpose(Node& node) {
    TransposeAttributes attributes;
    PIPESERVE_ASSIGN_OR_RETURN(attributes.perm, Ints("perm", 1));
    node.attributes = std::move(attributes);
    return Operands(node, 1);
  }

  Status Concat(Node& node) {
    AxisAttributes attributes;
    PIPESERVE_ASSIGN_OR_RETURN(attributes.axis, Int("axis", 1));
    node.attributes = attributes;
    PIPESERVE_ASSIGN_OR_RETURN(const std::vector<EdgeId> parts, edges_.TupleAt(use_.inputs[0]));
    for (const EdgeId part : parts) {
      PIPESERVE_ASSIGN_OR_RETURN(const ValueId id, edges_.TensorAt(part));
      node.inputs.push_back(id);
    }
    return OkStatus();
  }

  Status Split(Node& node) {
    AxisAttributes attributes;
    PIPESERVE_ASSIGN_OR_RETURN(attributes.axis, Int("axis", 1));
    PIPESERVE_ASSIGN_OR_RETURN(const int64_t parts, Int("output_num", 2));
    if (parts < 1 || parts > kMostParts) {
      return InvalidArgument(StrCat("output_num is ", parts, ", 1 to ", kMostParts, " was wanted"));
    }
    node.attributes = attributes;
    node.outputs.resize(static_cast<size_t>(parts));
    return Operands(node, 1);
  }

  Status StridedSlice(Node& node) {
    StridedSliceAttributes attributes;
    PIPESERVE_ASSIGN_OR_RETURN(attributes.begin, Ints("begin", 1));
    PIPESERVE_ASSIGN_OR_RETURN(attributes.end, Ints("end", 2));
    PIPESERVE_ASSIGN_OR_RETURN(attributes.strides, Ints("strides", 3));
    PIPESERVE_ASSIGN_OR_RETURN(attributes.begin_mask, Int("begin_mask", 4));
    PIPESERVE_ASSIGN_OR_RETURN(attributes.end_mask, Int("end_mask", 5));
    PIPESERVE_ASSIGN_OR_RETURN(attributes.ellipsis_mask, Int("ellipsis_mask", 6));
    PIPESERVE_ASSIGN_OR_RETURN(attributes.new_axis_mask, Int("new_axis_mask", 7));
    PIPESERVE_ASSIGN_OR_RETURN(attributes.shrink_axis_mask, Int("shrink_axis_mask", 8));
    node.attributes = std::move(attributes);
    return Operands(node, 1);
  }

  Status AllReduce(Node& node) {
    PIPESERVE_ASSIGN_OR_RETURN(const std::string reduction, Text("op"));
    if (reduction != "sum") {
      return Unimplemented(StrCat("reduction ", Printable(reduction), " is not supported"));
    }
    return Collective(node);
  }

  Status Collective(Node& node) {
    PIPESERVE_ASSIGN_OR_RETURN(node.attributes, Group());
    return Operands(node, 1);
  }

  Status Send(Node& node) {
    node.outputs.clear();
    PIPESERVE_ASSIGN_OR_RETURN(node.attributes, Message("dest_rank"));
    return Operands(node, 1);
  }

  // MindSpore gives it some operand, which stands for an order only.
  Status Receive(Node& node) {
    PIPESERVE_ASSIGN_OR_RETURN(MessageAttributes message, Message("src_rank"));
    PIPESERVE_ASSIGN_OR_RETURN(const std::vector<int64_t> dims, Ints("shape", kNoInput));
    PIPESERVE_ASSIGN_OR_RETURN(message.shape, Shape::Create(dims));
    PIPESERVE_ASSIGN_OR_RETURN(message.dtype, Type("dtype"));
    node.attributes = std::move(message);
    return OkStatus();
  }

 private:
  static constexpr size_t kNoInput = static_cast<size_t>(-1);

  Result<CollectiveAttributes> Group() {
    GroupReference reference;
    PIPESERVE_ASSIGN_OR_RETURN(reference.name, Text("group"));
    if (use_.attributes.contains("group_ranks")) {
      PIPESERVE_ASSIGN_OR_RETURN(reference.group_ranks, Text("group_ranks"));
    }
    if (use_.attributes.contains("rank_list")) {
      PIPESERVE_ASSIGN_OR_RETURN(reference.rank_list, Ints("rank_list", kNoInput));
    }
    if (use_.attributes.contains("rank_size")) {
      PIPESERVE_ASSIGN_OR_RETURN(reference.rank_size, Int("rank_size", kNoInput));
    }
    return ResolveGroup(reference, options_);
  }

  // The file counts the other end within the group.
  Result<MessageAttributes> Message(const char* other_end) {
    MessageAttributes message;
    PIPESERVE_ASSIGN_OR_RETURN(message.tag, Int("sr_tag", kNoInput));
    PIPESERVE_ASSIGN_OR_RETURN(message.group, Group());
    PIPESERVE_ASSIGN_OR_RETURN(const int64_t index, Int(other_end, kNoInput));
    const std::vector<int32_t>& ranks = message.group.ranks;
    const auto members =
        ranks.empty() ? int64_t{options_.rank_size} : static_cast<int64_t>(ranks.size());
    if (index < 0 || index >= members) {
      return InvalidArgument(StrCat(other_end, " is ", index, ", group ",
                                    Printable(message.group.group), " has ", members, " ranks"));
    }
    message.peer = ranks.empty() ? static_cast<int32_t>(index) : ranks[static_cast<size_t>(index)];
    return message;
  }

  // A data type stands as a tensor without values.
  Result<DataType> Type(const char* name) {
    const auto attribute = use_.attributes.find(name);
    if (attribute == use_.attributes.end() || attribute->second->tensors_size() != 1) {
      return InvalidArgument(StrCat("has no ", name));
    }
    PIPESERVE_ASSIGN_OR_RETURN(const TensorInfo info,
                               TensorInfoOf(attribute->second->tensors(0), name));
    return info.dtype;
  }

  Status Operands(Node& node, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      PIPESERVE_ASSIGN_OR_RETURN(const ValueId id, edges_.TensorAt(use_.inputs[i]));
      node.inputs.push_back(id);
    }
    return OkStatus();
  }

  // Nothing when the node has neither the attribute nor the input.
  Result<std::optional<Literal>> Argument(const char* name, size_t position) {
    const auto attribute = use_.attributes.find(name);
    if (attribute != use_.attributes.end()) {
      Result<Literal> literal = LiteralOf(*attribute->second);
      if (!literal.ok()) return literal.status().WithContext(name);
      return std::optional<Literal>(*std::move(literal));
    }
    if (position >= use_.inputs.size()) return std::optional<Literal>();
    Result<Literal> literal = edges_.LiteralAt(use_.inputs[position]);
    if (!literal.ok()) return literal.status().WithContext(name);
    return std::optional<Literal>(*std::move(literal));
  }

  Result<Literal> Required(const char* name, size_t position) {
    PIPESERVE_ASSIGN_OR_RETURN(std::optional<Literal> literal, Argument(name, position));
    if (!literal.has_value()) return InvalidArgument(StrCat("has no ", name));
    return *std::move(literal);
  }

  Result<int64_t> Int(const char* name, size_t position) {
    PIPESERVE_ASSIGN_OR_RETURN(const Literal literal, Required(name, position));
    return IntOf(literal, name);
  }

  Result<std::vector<int64_t>> Ints(const char* name, size_t position) {
    PIPESERVE_ASSIGN_OR_RETURN(const Literal literal, Required(name, position));
    return IntsOf(literal, name);
  }

  Result<bool> Flag(const char* name, const char* old_name, size_t position) {
    const bool has_only_old = !use_.attributes.contains(name) && use_.attributes.contains(old_name);
    PIPESERVE_ASSIGN_OR_RETURN(const int64_t flag, Int(has_only_old ? old_name : name, position));
    return flag != 0;
  }

  Result<std::string> Text(const char* name) {
    PIPESERVE_ASSIGN_OR_RETURN(const Literal literal, Required(name, kNoInput));
    if (const auto* text = std::get_if<std::string>(&literal.value)) return *text;
    return InvalidArgument(StrCat(name, " is no text"));
  }

  const OperatorUse& use_;
  const ReadOptions& options_;
  const Graph& graph_;
  EdgeTable& edges_;
};

struct OperatorRow {
  std::string_view name;
  OpType op;
  size_t fewest_inputs, most_inputs;
  Status (OperatorReader::*read)(Node&);
};

constexpr std::array<OperatorRow, 20> kOperators = {{
    {"MatMul", OpType::kMatMul, 2, 4, &OperatorReader::MatMul},
    {"Neg", OpType::kNeg, 1, 1, &OperatorReader::Unary},
    {"Add", OpType::kAdd, 2, 2, &OperatorReader::Binary},
    {"Adds", OpType::kAdd, 2, 2, &OperatorReader::Binary},
    {"Sub", OpType::kSub, 2, 2, &OperatorReader::Binary},
    {"Mul", OpType::kMul, 2, 2, &OperatorReader::Binary},
    {"Muls", OpType::kMul, 2, 2, &OperatorReader::Binary},
    {"BiasAdd", OpType::kBiasAdd, 2, 3, &OperatorReader::BiasAdd},
    {"ReLU", OpType::kReLU, 1, 1, &OperatorReader::Unary},
    {"Cast", OpType::kCast, 1, 2, &OperatorReader::Cast},
    {"ReduceSum", OpType::kReduceSum, 2, 4, &OperatorReader::ReduceSum},
    {"Reshape", OpType::kReshape, 1, 2, &OperatorReader::Reshape},
    {"Transpose", OpType::kTranspose, 1, 2, &OperatorReader::Transpose},
    {"Concat", OpType::kConcat, 1, 2, &OperatorReader::Concat},
    {"Split", OpType::kSplit, 1, 3, &OperatorReader::Split},
    {"StridedSlice", OpType::kStridedSlice, 4, 9, &OperatorReader::StridedSlice},
    {"AllReduce", OpType::kAllReduce, 1, 1, &OperatorReader::AllReduce},
    {"AllGather", OpType::kAllGather, 1, 1, &OperatorReader::Collective},
    {"Send", OpType::kSend, 1, 1, &OperatorReader::Send},
    {"Receive", OpType::kReceive, 0, 1, &OperatorReader::Receive},
}};

const OperatorRow* RowOf(std::string_view op) {
  for (const OperatorRow& row : kOperators) {
    if (row.name == op) return &row;
  }
  return nullptr;
}

}  // namespace

bool IsSupportedOperator(std::string_view op) { return RowOf(op) != nullptr; }

Result<Node> ReadOperator(const OperatorUse& use, const ReadOptions& options, const Graph& graph,
                          EdgeTable& edges) {
  const OperatorRow* row = RowOf(use.op);
  if (row == nullptr) {
    return Unimplemented(StrCat("operator ", Printable(use.op), " is not supported"));
  }
  if (use.inputs.size() < row->fewest_inputs || use.inputs.size() > row->most_inputs) {
    return InvalidArgument(StrCat(use.name, " (", use.op, ") has ", use.inputs.size(), " inputs, ",
                                  row->fewest_inputs, " to ", row->most_inputs, " were wanted"));
  }
  Node node{row->op, use.name, {}, {0}, {}};
  OperatorReader reader(use, options, graph, edges);
  const Status status = (reader.*row->read)(node);
  if (!status.ok()) return status.WithContext(StrCat(use.name, " (", use.op, ")"));
  return node;
}

}  // namespace pipeserve
