#include <algorithm>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "ms_service.pb.h"
#include "wire/message_frames.h"
#include "wire/ms_tensor.h"
#include "wire/predict_message.h"

namespace pipeserve {
namespace {

namespace ms_proto = ::mindspore::serving::proto;

MessageFrames TensorFrames(const Tensor& tensor) {
  MessageFrames shape;
  shape.AddPackedVarints(ms_proto::TensorShape::kDimsFieldNumber, tensor.shape());
  MessageFrames frames;
  frames.AddMessage(ms_proto::Tensor::kShapeFieldNumber, std::move(shape));
  frames.AddVarint(ms_proto::Tensor::kDtypeFieldNumber,
                   static_cast<uint64_t>(DataTypeToWire(tensor.dtype())));
  if (!IsText(tensor.dtype())) {
    frames.AddBytes(ms_proto::Tensor::kDataFieldNumber, tensor.buffer());
    return frames;
  }
  const auto* const begin = tensor.data_as<char>();
  for (const std::string_view item : tensor.Strings()) {
    frames.AddBytes(ms_proto::Tensor::kBytesValFieldNumber,
                    tensor.buffer().Slice(static_cast<size_t>(item.data() - begin), item.size()));
  }
  return frames;
}

void AddItem(std::string_view name, const Tensor& tensor, MessageFrames* instance) {
  MessageFrames entry;
  entry.AddBytes(1, name);  // An entry of a map: its key, its value.
  entry.AddMessage(2, TensorFrames(tensor));
  instance->AddMessage(ms_proto::Instance::kItemsFieldNumber, std::move(entry));
}

MessageFrames InstanceFrames(std::span<const std::string> names, const Instance& values) {
  PIPESERVE_DCHECK(names.size() == values.size());
  MessageFrames instance;
  for (size_t i = 0; i < values.size(); ++i) AddItem(names[i], values[i], &instance);
  return instance;
}

MessageFrames TargetFrames(const PredictTarget& target) {
  MessageFrames frames;
  frames.AddBytes(ms_proto::ServableSpec::kNameFieldNumber, target.servable);
  frames.AddBytes(ms_proto::ServableSpec::kMethodNameFieldNumber, target.method);
  frames.AddVarint(ms_proto::ServableSpec::kVersionNumberFieldNumber, target.version);
  return frames;
}

void AddError(const Status& status, MessageFrames* reply) {
  MessageFrames error;
  error.AddVarint(ms_proto::ErrorMsg::kErrorCodeFieldNumber,
                  static_cast<uint64_t>(ErrorMsgCode(status.code())));
  // Whole; the original cuts the middle out of a long one.
  error.AddBytes(ms_proto::ErrorMsg::kErrorMsgFieldNumber, std::string_view(status.message()));
  reply->AddMessage(ms_proto::PredictReply::kErrorMsgFieldNumber, std::move(error));
}

}  // namespace

std::vector<Buffer> WritePredictRequest(const PredictTarget& target,
                                        std::span<const NamedInstance> instances) {
  MessageFrames request;
  request.AddMessage(ms_proto::PredictRequest::kServableSpecFieldNumber, TargetFrames(target));
  for (const NamedInstance& named : instances) {
    MessageFrames instance;
    for (const auto& [name, tensor] : named) AddItem(name, tensor, &instance);
    request.AddMessage(ms_proto::PredictRequest::kInstancesFieldNumber, std::move(instance));
  }
  return std::move(request).Take();
}

std::vector<Buffer> WritePredictReply(const PredictTarget& target, const Status& error,
                                      std::span<const std::string> output_names,
                                      std::span<const Result<Instance>> instances) {
  MessageFrames reply;
  reply.AddMessage(ms_proto::PredictReply::kServableSpecFieldNumber, TargetFrames(target));
  if (!error.ok()) {
    AddError(error, &reply);
    return std::move(reply).Take();
  }
  for (const Result<Instance>& instance : instances) {
    reply.AddMessage(ms_proto::PredictReply::kInstancesFieldNumber,
                     instance.ok() ? InstanceFrames(output_names, *instance) : MessageFrames());
  }
  const bool all_good =
      std::all_of(instances.begin(), instances.end(), [](const auto& each) { return each.ok(); });
  if (all_good) return std::move(reply).Take();
  for (const Result<Instance>& instance : instances) AddError(instance.status(), &reply);
  return std::move(reply).Take();
}

}  // namespace pipeserve
