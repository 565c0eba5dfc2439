#include "executor/cpu/step.h"

#include "base/str_cat.h"
#include "executor/cpu/elements.h"

namespace pipeserve {
namespace {

Status CheckMatMul(const Node& node, std::span<const TensorInfo> inputs) {
  for (const TensorInfo& input : inputs) {
    if (input.shape.rank() == 2) continue;
    return Unimplemented(StrCat("MatMul ", node.name, " multiplies matrices, operand ", input.name,
                                " is ", input.ToString()));
  }
  return OkStatus();
}

bool HasKernel(OpType op, DataType dtype) {
  const auto element = ElementOf(dtype);
  switch (op) {
    case OpType::kMatMul:
    case OpType::kReduceSum:
      return element && kernels::HasSums(*element);
    case OpType::kNeg:
    case OpType::kReLU:
    case OpType::kAdd:
    case OpType::kSub:
    case OpType::kMul:
    case OpType::kBiasAdd:
      return element.has_value();
    case OpType::kCast:
      return CastElementOf(dtype).has_value();
    case OpType::kAllReduce:
      return dtype == DataType::kFloat16 || dtype == DataType::kFloat32 ||
             dtype == DataType::kInt32;
    case OpType::kReshape:
    case OpType::kTranspose:
    case OpType::kConcat:
    case OpType::kSplit:
    case OpType::kStridedSlice:
    case OpType::kAllGather:
    case OpType::kSend:
    case OpType::kReceive:
      return DataTypeSize(dtype) > 0;
  }
  return false;
}

Status CheckCast(const Node& node) {
  const DataType to = std::get<CastAttributes>(node.attributes).to;
  if (CastElementOf(to).has_value()) return OkStatus();
  return Unimplemented(
      StrCat("the CPU executor has no Cast to ", to, ", which node ", node.name, " needs"));
}

class CopyStep final : public Step {
 public:
  CopyStep(const Location& from, const Location& to, size_t bytes)
      : from_(from), to_(to), bytes_(bytes) {}

  Status Run(const Frame& frame) const override {
    kernels::CopyRows(1, bytes_, frame.Read(from_), 0, frame.Write(to_), 0);
    return OkStatus();
  }

 private:
  const Location from_, to_;
  const size_t bytes_;
};

}  // namespace

const std::byte* Frame::Read(const Location& location) const {
  switch (location.place) {
    case Location::Place::kInput:
      return inputs[location.index].buffer().data();
    case Location::Place::kConstant:
      return location.constant;
    case Location::Place::kWorkspace:
      return workspace + location.offset;
    case Location::Place::kOutput:
      return outputs[location.index].buffer().data();
  }
  return nullptr;
}

std::byte* Frame::Write(const Location& location) const {
  if (location.place == Location::Place::kWorkspace) return workspace + location.offset;
  return static_cast<std::byte*>(outputs[location.index].mutable_data());
}

Status CheckSupported(const Node& node, std::span<const TensorInfo> inputs) {
  if (node.op == OpType::kMatMul) PIPESERVE_RETURN_IF_ERROR(CheckMatMul(node, inputs));
  if (node.op == OpType::kCast) PIPESERVE_RETURN_IF_ERROR(CheckCast(node));
  for (const TensorInfo& input : inputs) {
    if (HasKernel(node.op, input.dtype)) continue;
    return Unimplemented(StrCat("the CPU executor has no ", OpTypeName(node.op), " of ",
                                input.dtype, ", which node ", node.name, " needs for ",
                                input.name));
  }
  return OkStatus();
}

std::unique_ptr<Step> MakeCopyStep(const Location& from, const Location& to, size_t bytes) {
  return std::make_unique<CopyStep>(from, to, bytes);
}

Result<std::unique_ptr<Step>> MakeStep(const StepContext& context) {
  switch (context.node.op) {
    case OpType::kMatMul:
      return MakeMatMulStep(context);
    case OpType::kNeg:
    case OpType::kReLU:
      return MakeUnaryStep(context);
    case OpType::kAdd:
    case OpType::kSub:
    case OpType::kMul:
    case OpType::kBiasAdd:
      return MakeBinaryStep(context);
    case OpType::kCast:
      return MakeCastStep(context);
    case OpType::kReduceSum:
      return MakeSumStep(context);
    case OpType::kTranspose:
      return MakeTransposeStep(context);
    case OpType::kConcat:
      return MakeConcatStep(context);
    case OpType::kSplit:
      return MakeSplitStep(context);
    case OpType::kStridedSlice:
      return MakeSliceStep(context);
    case OpType::kAllReduce:
      return MakeAllReduceStep(context);
    case OpType::kAllGather:
      return MakeAllGatherStep(context);
    case OpType::kSend:
      return MakeSendStep(context);
    case OpType::kReceive:
      return MakeReceiveStep(context);
    case OpType::kReshape:
      break;  // Never a step: its result lies where its operand does.
  }
  return Internal(StrCat("no step for ", OpTypeName(context.node.op), " ", context.node.name));
}

}  // namespace pipeserve
