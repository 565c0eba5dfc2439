#include "wire/agent_messages.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/counters.h"
#include "base/str_cat.h"
#include "wire/message_frames.h"

namespace pipeserve {
namespace {

using RepeatedDims = google::protobuf::RepeatedField<int64_t>;
using RepeatedInfo = google::protobuf::RepeatedPtrField<proto::TensorInfo>;

Result<DataType> DataTypeFromProto(proto::DataType dtype) {
  const int number = dtype;
  if (!proto::DataType_IsValid(number) || number == proto::DATA_TYPE_UNSPECIFIED) {
    return InvalidArgument(StrCat("data type ", number, " is not one of a graph"));
  }
  return static_cast<DataType>(number);
}

Result<Shape> ShapeFromProto(const RepeatedDims& dims) {
  return Shape::Create(std::span(dims.data(), static_cast<size_t>(dims.size())));
}

void InfoToProto(const TensorInfo& info, proto::TensorInfo* message) {
  message->set_name(info.name);
  message->set_dtype(static_cast<proto::DataType>(info.dtype));
  message->mutable_shape()->Add(info.shape.begin(), info.shape.end());
}

void InfosToProto(const std::vector<TensorInfo>& infos, RepeatedInfo* messages) {
  for (const TensorInfo& info : infos) InfoToProto(info, messages->Add());
}

Result<TensorInfo> InfoFromProto(const proto::TensorInfo& message) {
  TensorInfo info;
  info.name = message.name();
  PIPESERVE_ASSIGN_OR_RETURN(info.dtype, DataTypeFromProto(message.dtype()));
  PIPESERVE_ASSIGN_OR_RETURN(info.shape, ShapeFromProto(message.shape()));
  if (info.shape.is_known() && info.byte_size() < 0) {
    return InvalidArgument(StrCat(info.ToString(), " is too large"));
  }
  return info;
}

Result<std::vector<TensorInfo>> InfosFromProto(const RepeatedInfo& messages,
                                               std::string_view what) {
  std::vector<TensorInfo> infos;
  for (const proto::TensorInfo& message : messages) {
    Result<TensorInfo> info = InfoFromProto(message);
    if (!info.ok()) return info.status().WithContext(StrCat(what, " ", infos.size()));
    infos.push_back(*std::move(info));
  }
  return infos;
}

}  // namespace

void TensorToProto(const Tensor& tensor, proto::Tensor* message) {
  message->set_dtype(static_cast<proto::DataType>(tensor.dtype()));
  message->mutable_shape()->Add(tensor.shape().begin(), tensor.shape().end());
  message->set_data(tensor.data(), tensor.byte_size());
  CountCopy(tensor.byte_size());
}

Result<Tensor> TensorFromProto(const proto::Tensor& message) {
  PIPESERVE_ASSIGN_OR_RETURN(const DataType dtype, DataTypeFromProto(message.dtype()));
  PIPESERVE_ASSIGN_OR_RETURN(const Shape shape, ShapeFromProto(message.shape()));
  // The size is checked before anything is allocated, so that a message never costs more memory
  // than it already has.
  const int64_t wanted = TensorInfo{.name = "", .dtype = dtype, .shape = shape}.byte_size();
  if (wanted < 0 || static_cast<uint64_t>(wanted) != message.data().size()) {
    return InvalidArgument(StrCat(dtype, shape, " came with ", message.data().size(), " bytes"));
  }
  return Tensor(dtype, shape, Buffer::CopyOf(std::as_bytes(std::span(message.data()))));
}

Result<std::vector<Tensor>> TensorsFromProto(const RepeatedTensor& messages) {
  std::vector<Tensor> tensors;
  tensors.reserve(static_cast<size_t>(messages.size()));
  for (const proto::Tensor& message : messages) {
    Result<Tensor> tensor = TensorFromProto(message);
    if (!tensor.ok()) return tensor.status().WithContext(StrCat("tensor ", tensors.size()));
    tensors.push_back(*std::move(tensor));
  }
  return tensors;
}

Status CheckInputsSize(std::span<const Tensor> inputs) {
  constexpr uint64_t kRoomForTheRest = 1 << 16;
  uint64_t bytes = kRoomForTheRest;
  for (const Tensor& input : inputs) bytes += static_cast<uint64_t>(input.byte_size());
  if (bytes <= kMaxAgentMessageBytes) return OkStatus();
  return InvalidArgument(StrCat("inputs have about ", bytes, " bytes, the link to agents carries ",
                                kMaxAgentMessageBytes));
}

// The bytes of the tensors are copied once, which a message object on the way would do twice.
std::string EncodeInputs(std::span<const Tensor> inputs) {
  MessageFrames call;
  for (const Tensor& input : inputs) {
    MessageFrames tensor;
    tensor.AddVarint(proto::Tensor::kDtypeFieldNumber, static_cast<uint64_t>(input.dtype()));
    tensor.AddPackedVarints(proto::Tensor::kShapeFieldNumber, input.shape());
    tensor.AddBytes(proto::Tensor::kDataFieldNumber, input.buffer());
    call.AddMessage(proto::RunCall::kInputsFieldNumber, std::move(tensor));
  }
  MessageFrames message;
  message.AddMessage(proto::ServerMessage::kRunCallFieldNumber, std::move(call));
  return std::move(message).Join();
}

void SignatureToProto(const GraphSignature& signature, proto::GraphSignature* message) {
  InfosToProto(signature.inputs, message->mutable_inputs());
  InfosToProto(signature.outputs, message->mutable_outputs());
  for (const MessageInfo& each : signature.messages) {
    proto::PeerMessage* added = message->add_messages();
    added->set_is_sent(each.is_sent);
    added->set_peer(each.peer);
    added->set_tag(each.tag);
    InfoToProto({"", each.dtype, each.shape}, added->mutable_info());
  }
}

Result<GraphSignature> SignatureFromProto(const proto::GraphSignature& message) {
  GraphSignature signature;
  PIPESERVE_ASSIGN_OR_RETURN(signature.inputs, InfosFromProto(message.inputs(), "input"));
  PIPESERVE_ASSIGN_OR_RETURN(signature.outputs, InfosFromProto(message.outputs(), "output"));
  for (const proto::PeerMessage& each : message.messages()) {
    const Result<TensorInfo> info = InfoFromProto(each.info());
    if (!info.ok()) return info.status().WithContext(StrCat("message ", each.tag()));
    signature.messages.push_back(
        {each.is_sent(), each.peer(), each.tag(), info->dtype, info->shape});
  }
  return signature;
}

}  // namespace pipeserve
