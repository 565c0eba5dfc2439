// The graph IR: one computation with typed values, whatever file it came from.
//
// Structural operators of the file format (Load, Depend, UpdateState, MakeTuple, TupleGetItem,
// Constant) do not exist here: the reader resolves them, so every node computes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

enum class OpType : uint8_t {
  kMatMul,        // a, b -> y; MatMulAttributes
  kNeg,           // x -> y
  kAdd,           // a, b -> y, broadcasting
  kSub,           // a, b -> y, broadcasting
  kMul,           // a, b -> y, broadcasting
  kBiasAdd,       // x, bias[C] -> y; the bias is added along dimension 1
  kReLU,          // x -> y
  kCast,          // x -> y; CastAttributes
  kReduceSum,     // x -> y; ReduceAttributes
  kReshape,       // x -> y; ReshapeAttributes
  kTranspose,     // x -> y; TransposeAttributes
  kConcat,        // x... -> y; AxisAttributes
  kSplit,         // x -> y...; AxisAttributes, equal parts
  kStridedSlice,  // x -> y; StridedSliceAttributes
  kAllReduce,     // x -> y; CollectiveAttributes, sum
  kAllGather,     // x -> y; CollectiveAttributes, along dimension 0 in group order
  kSend,          // x ->; MessageAttributes, x goes to another rank
  kReceive,       // -> y; MessageAttributes, y comes from another rank
};

// "MatMul", "ReLU", ...: the names that model files use.
std::string_view OpTypeName(OpType op);

struct MatMulAttributes {
  bool transpose_a = false;
  bool transpose_b = false;
};
// To floating point: the nearest number, ties to even, infinite where there is none so large. From
// floating point to integers: what is left without the fraction, the nearest integer of the type
// where it has none such, 0 for what is no number. Integers to narrower ones lose their upper bits.
// To bool: whether it is other than 0. A device may do otherwise to what does not fit.
struct CastAttributes {
  DataType to = DataType::kUnknown;
};
struct ReduceAttributes {
  std::vector<int64_t> axes;  // Negative counts from the end; none means all dimensions.
  bool keep_dims = false;     // A dimension that is summed over stays, with size 1.
};
struct ReshapeAttributes {
  std::vector<int64_t> dims;  // One may be -1.
};
struct TransposeAttributes {
  std::vector<int64_t> perm;
};
struct AxisAttributes {
  int64_t axis = 0;  // Negative counts from the end.
};
// As in MindSpore and TensorFlow: bit i of a mask speaks of entry i of begin, end and strides.
struct StridedSliceAttributes {
  std::vector<int64_t> begin, end, strides;
  int64_t begin_mask = 0;
  int64_t end_mask = 0;
  int64_t ellipsis_mask = 0;
  int64_t new_axis_mask = 0;
  int64_t shrink_axis_mask = 0;
};
struct CollectiveAttributes {
  std::string group;           // As the file names it, e.g. "hccl_world_group".
  std::vector<int32_t> ranks;  // Global ranks, ascending; empty means all ranks of the servable.
  int64_t rank_size = 0;       // Members by the file's own word; 0 when it does not say.
};

// One end of a message. The messages between two ranks are received in the order in which they are
// sent.
struct MessageAttributes {
  int64_t tag = 0;                      // Both ends name the same one.
  int32_t peer = 0;                     // The other end's global rank.
  CollectiveAttributes group = {};      // In which the file counts ranks; both ends belong to it.
  DataType dtype = DataType::kUnknown;  // What comes; of kReceive only.
  Shape shape = {};
};

using Attributes = std::variant<std::monostate, MatMulAttributes, CastAttributes, ReduceAttributes,
                                ReshapeAttributes, TransposeAttributes, AxisAttributes,
                                StridedSliceAttributes, CollectiveAttributes, MessageAttributes>;

using ValueId = int32_t;

// The result of a node, a graph input, or a constant. Info.name is the edge's name in the file.
struct Value {
  TensorInfo info;
};

struct Node {
  OpType op = OpType::kNeg;
  std::string name;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  Attributes attributes;
};

// Nodes stand in execution order: what a node reads is a graph input, a constant, or the output
// of an earlier node. A plain value; immutable once a reader or builder has handed it over.
struct Graph {
  std::string name;
  std::vector<Value> values;  // Indexed by ValueId.
  std::vector<Node> nodes;
  std::map<ValueId, Tensor> constants;  // Weights and literals.
  std::vector<ValueId> inputs;          // Call arguments, in order.
  // Results, in order; may name an input or a constant. None only where the graph sends messages.
  std::vector<ValueId> outputs;

  ValueId AddValue(TensorInfo info) {
    values.push_back({std::move(info)});
    return static_cast<ValueId>(values.size()) - 1;
  }
  const TensorInfo& info(ValueId id) const { return values[static_cast<size_t>(id)].info; }
};

// A message that a run of a graph exchanges with another rank.
struct MessageInfo {
  bool is_sent = false;
  int32_t peer = 0;
  int64_t tag = 0;
  DataType dtype = DataType::kUnknown;
  Shape shape;
  friend bool operator==(const MessageInfo&, const MessageInfo&) = default;
};

// What others see of a graph: its inputs and outputs, in order, and the messages of a run.
struct GraphSignature {
  std::vector<TensorInfo> inputs = {};
  std::vector<TensorInfo> outputs = {};
  std::vector<MessageInfo> messages = {};
  friend bool operator==(const GraphSignature&, const GraphSignature&) = default;
};
GraphSignature SignatureOf(const Graph& graph);
inline bool IsMessage(OpType op) { return op == OpType::kSend || op == OpType::kReceive; }

}  // namespace pipeserve
