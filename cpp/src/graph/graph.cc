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
  }
  return "unknown";
}

GraphSignature SignatureOf(const Graph& graph) {
  GraphSignature signature;
  for (const ValueId id : graph.inputs) signature.inputs.push_back(graph.info(id));
  for (const ValueId id : graph.outputs) signature.outputs.push_back(graph.info(id));
  return signature;
}

}  // namespace pipeserve
