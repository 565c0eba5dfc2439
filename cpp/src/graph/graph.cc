#include "graph/graph.h"

namespace pipeserve {

std::string_view OpTypeName(OpType op) {
  switch (op) {
    case OpType::kMatMul:
      return "MatMul";
    case OpType::kNeg:
      return "Neg";
    case OpType::kAdd:
      return "Add";
    case OpType::kSub:
      return "Sub";
    case OpType::kMul:
      return "Mul";
    case OpType::kBiasAdd:
      return "BiasAdd";
    case OpType::kReLU:
      return "ReLU";
    case OpType::kCast:
      return "Cast";
    case OpType::kReduceSum:
      return "ReduceSum";
    case OpType::kReshape:
      return "Reshape";
    case OpType::kTranspose:
      return "Transpose";
    case OpType::kConcat:
      return "Concat";
    case OpType::kSplit:
      return "Split";
    case OpType::kStridedSlice:
      return "StridedSlice";
    case OpType::kAllReduce:
      return "AllReduce";
    case OpType::kAllGather:
      return "AllGather";
    case OpType::kSend:
      return "Send";
    case OpType::kReceive:
      return "Receive";
  }
  return "unknown";
}

namespace {

MessageInfo MessageOf(const Graph& graph, const Node& node) {
  const auto& attributes = std::get<MessageAttributes>(node.attributes);
  const bool is_sent = node.op == OpType::kSend;
  const TensorInfo& info = graph.info(is_sent ? node.inputs[0] : node.outputs[0]);
  return {is_sent, attributes.peer, attributes.tag, info.dtype, info.shape};
}

}  // namespace

GraphSignature SignatureOf(const Graph& graph) {
  GraphSignature signature;
  for (const ValueId id : graph.inputs) signature.inputs.push_back(graph.info(id));
  for (const ValueId id : graph.outputs) signature.outputs.push_back(graph.info(id));
  for (const Node& node : graph.nodes) {
    if (IsMessage(node.op)) signature.messages.push_back(MessageOf(graph, node));
  }
  return signature;
}

}  // namespace pipeserve
