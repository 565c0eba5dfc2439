#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "base/counters.h"
#include "base/str_cat.h"
#include "ms_service.pb.h"
#include "wire/message_reader.h"
#include "wire/ms_tensor.h"
#include "wire/predict_message.h"

namespace pipeserve {
namespace {

namespace ms_proto = ::mindspore::serving::proto;
using google::protobuf::io::ZeroCopyInputStream;
using Room = std::function<Buffer(size_t bytes)>;

// A Tensor message as it came.
struct RawTensor {
  DataType dtype = DataType::kUnknown;
  std::vector<int64_t> dims;
  Buffer data;
  size_t item_count = 0;
  std::string items;  // As a text tensor holds them.
};

bool ReadShape(MessageReader* reader, std::vector<int64_t>* dims) {
  const auto add = [dims](uint64_t dim) { dims->push_back(static_cast<int64_t>(dim)); };
  return reader->ForEachFieldOfMessage([&](uint32_t tag) {
    switch (tag) {
      case LengthTag(ms_proto::TensorShape::kDimsFieldNumber):
        return reader->ReadPackedVarints(add);
      case VarintTag(ms_proto::TensorShape::kDimsFieldNumber): {
        uint64_t dim = 0;
        if (!reader->ReadVarint(&dim)) return false;
        add(dim);
        return true;
      }
      default:
        return reader->Skip(tag);
    }
  });
}

bool ReadDataType(MessageReader* reader, DataType* dtype) {
  uint64_t number = 0;
  if (!reader->ReadVarint(&number)) return false;
  *dtype = DataTypeFromWire(static_cast<int32_t>(number));
  return true;
}

// The one copy of a tensor's bytes on their way in.
bool ReadData(MessageReader* reader, const Room& room, Buffer* data) {
  size_t bytes = 0;
  if (!reader->ReadLength(&bytes)) return false;
  *data = bytes == 0 ? Buffer() : room(bytes);
  CountCopy(bytes);
  return reader->ReadRaw(data->mutable_data(), bytes);
}

bool ReadItem(MessageReader* reader, RawTensor* tensor) {
  size_t bytes = 0;
  if (!reader->ReadLength(&bytes)) return false;
  const auto length = static_cast<uint32_t>(bytes);
  const size_t at = tensor->items.size();
  tensor->items.resize(at + sizeof(length) + bytes);
  std::memcpy(&tensor->items[at], &length, sizeof(length));
  ++tensor->item_count;
  CountCopy(bytes);
  return reader->ReadRaw(&tensor->items[at] + sizeof(length), bytes);
}

bool ReadTensor(MessageReader* reader, const Room& room, RawTensor* tensor) {
  return reader->ForEachFieldOfMessage([&](uint32_t tag) {
    switch (tag) {
      case LengthTag(ms_proto::Tensor::kShapeFieldNumber):
        return ReadShape(reader, &tensor->dims);
      case VarintTag(ms_proto::Tensor::kDtypeFieldNumber):
        return ReadDataType(reader, &tensor->dtype);
      case LengthTag(ms_proto::Tensor::kDataFieldNumber):
        return ReadData(reader, room, &tensor->data);
      case LengthTag(ms_proto::Tensor::kBytesValFieldNumber):
        return ReadItem(reader, tensor);
      default:
        return reader->Skip(tag);
    }
  });
}

// Calls take(name, tensor) for every item of an Instance message.
template <typename Take>
bool ReadInstance(MessageReader* reader, const Room& room, Take take) {
  constexpr int kKey = 1, kValue = 2;  // Of an entry of any map.
  return reader->ForEachFieldOfMessage([&](uint32_t tag) {
    if (tag != LengthTag(ms_proto::Instance::kItemsFieldNumber)) return reader->Skip(tag);
    std::string name;
    RawTensor tensor;
    const bool sound = reader->ForEachFieldOfMessage([&](uint32_t entry_tag) {
      if (entry_tag == LengthTag(kKey)) return reader->ReadText(&name);
      if (entry_tag == LengthTag(kValue)) return ReadTensor(reader, room, &tensor);
      return reader->Skip(entry_tag);
    });
    if (sound) take(std::move(name), std::move(tensor));
    return sound;
  });
}

bool ReadTarget(MessageReader* reader, PredictTarget* target) {
  return reader->ForEachFieldOfMessage([&](uint32_t tag) {
    switch (tag) {
      case LengthTag(ms_proto::ServableSpec::kNameFieldNumber):
        return reader->ReadText(&target->servable);
      case LengthTag(ms_proto::ServableSpec::kMethodNameFieldNumber):
        return reader->ReadText(&target->method);
      case VarintTag(ms_proto::ServableSpec::kVersionNumberFieldNumber):
        return reader->ReadVarint(&target->version);
      default:
        return reader->Skip(tag);
    }
  });
}

bool ReadError(MessageReader* reader, InstanceError* error) {
  return reader->ForEachFieldOfMessage([&](uint32_t tag) {
    switch (tag) {
      case VarintTag(ms_proto::ErrorMsg::kErrorCodeFieldNumber): {
        uint64_t code = 0;
        if (!reader->ReadVarint(&code)) return false;
        error->code = static_cast<int64_t>(code);
        return true;
      }
      case LengthTag(ms_proto::ErrorMsg::kErrorMsgFieldNumber):
        return reader->ReadBytes(&error->message);
      default:
        return reader->Skip(tag);
    }
  });
}

Tensor TextTensor(const Shape& shape, RawTensor tensor) {
  auto* items = new std::string(std::move(tensor.items));
  return Tensor(tensor.dtype, shape,
                Buffer::Wrap(items->data(), items->size(), [items] { delete items; }));
}

// The tensor has been checked.
Tensor ToTensor(RawTensor tensor) {
  const Shape shape(tensor.dims);
  if (IsText(tensor.dtype)) return TextTensor(shape, std::move(tensor));
  return Tensor(tensor.dtype, shape, std::move(tensor.data));
}

void TakeInput(std::string name, RawTensor tensor, PredictRequest* request) {
  if (!request->refused.ok()) return;
  request->refused =
      CheckRequestTensor(name, tensor.dtype, tensor.dims, tensor.data.size(), tensor.item_count);
  if (!request->refused.ok()) return;
  request->instances.back().emplace_back(std::move(name), ToTensor(std::move(tensor)));
}

// Text of a reply may hold any number of items; the shape follows them when it does not fit.
Tensor ToReplyText(RawTensor tensor) {
  const auto count = static_cast<int64_t>(tensor.item_count);
  const bool fits = AreDimsValid(tensor.dims) && Shape(tensor.dims).num_elements() == count;
  return TextTensor(fits ? Shape(tensor.dims) : Shape{count}, std::move(tensor));
}

Result<Tensor> ToOutput(const std::string& name, RawTensor tensor) {
  if (IsText(tensor.dtype)) return ToReplyText(std::move(tensor));
  const Status status = CheckTensor(tensor.dtype, tensor.dims, tensor.data.size(), 0);
  if (!status.ok()) return Internal(StrCat("output ", name, " of the reply: ", status.message()));
  return ToTensor(std::move(tensor));
}

// A map has no order of its own, and people read results.
void SortByName(NamedInstance* instance) {
  std::stable_sort(instance->begin(), instance->end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
}

}  // namespace

Result<PredictRequest> ReadPredictRequest(ZeroCopyInputStream* message, size_t bytes,
                                          const MakeRoom& make_room) {
  PredictRequest request;
  MessageReader reader(message, bytes);
  const Room room = [&](size_t wanted) { return make_room(request.target, wanted); };
  const auto take = [&](std::string name, RawTensor tensor) {
    TakeInput(std::move(name), std::move(tensor), &request);
  };
  const bool sound = reader.ForEachField([&](uint32_t tag) {
    switch (tag) {
      case LengthTag(ms_proto::PredictRequest::kServableSpecFieldNumber):
        return ReadTarget(&reader, &request.target);
      case LengthTag(ms_proto::PredictRequest::kInstancesFieldNumber):
        request.instances.emplace_back();
        return ReadInstance(&reader, room, take);
      default:
        return reader.Skip(tag);
    }
  });
  if (!sound) return InvalidArgument(StrCat("the ", bytes, " bytes are no PredictRequest message"));
  return request;
}

Result<InferReply> ReadPredictReply(ZeroCopyInputStream* message, size_t bytes) {
  InferReply reply;
  PredictTarget target;  // Known already, but a reply is sound as a whole.
  Status contradiction;
  MessageReader reader(message, bytes);
  const auto take = [&](std::string name, RawTensor raw) {
    Result<Tensor> tensor = ToOutput(name, std::move(raw));
    if (!tensor.ok()) contradiction = tensor.status();
    if (tensor.ok()) reply.instances.back().emplace_back(std::move(name), *std::move(tensor));
  };
  const bool sound = reader.ForEachField([&](uint32_t tag) {
    switch (tag) {
      case LengthTag(ms_proto::PredictReply::kServableSpecFieldNumber):
        return ReadTarget(&reader, &target);
      case LengthTag(ms_proto::PredictReply::kInstancesFieldNumber):
        reply.instances.emplace_back();
        return ReadInstance(&reader, Buffer::Allocate, take);
      case LengthTag(ms_proto::PredictReply::kErrorMsgFieldNumber):
        return ReadError(&reader, &reply.errors.emplace_back());
      default:
        return reader.Skip(tag);
    }
  });
  if (!sound) return Internal(StrCat("the ", bytes, " bytes are no PredictReply message"));
  if (!contradiction.ok()) return contradiction;
  std::for_each(reply.instances.begin(), reply.instances.end(),
                [](NamedInstance& instance) { SortByName(&instance); });
  return reply;
}

}  // namespace pipeserve
