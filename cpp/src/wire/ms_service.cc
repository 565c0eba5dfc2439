#include "wire/ms_service.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/str_cat.h"

namespace pipeserve {
namespace {

struct DataTypePair {
  ms_proto::DataType wire;
  DataType dtype;
};

constexpr std::array kDataTypes = {
    DataTypePair{ms_proto::MS_BOOL, DataType::kBool},
    DataTypePair{ms_proto::MS_INT8, DataType::kInt8},
    DataTypePair{ms_proto::MS_UINT8, DataType::kUint8},
    DataTypePair{ms_proto::MS_INT16, DataType::kInt16},
    DataTypePair{ms_proto::MS_UINT16, DataType::kUint16},
    DataTypePair{ms_proto::MS_INT32, DataType::kInt32},
    DataTypePair{ms_proto::MS_UINT32, DataType::kUint32},
    DataTypePair{ms_proto::MS_INT64, DataType::kInt64},
    DataTypePair{ms_proto::MS_UINT64, DataType::kUint64},
    DataTypePair{ms_proto::MS_FLOAT16, DataType::kFloat16},
    DataTypePair{ms_proto::MS_FLOAT32, DataType::kFloat32},
    DataTypePair{ms_proto::MS_FLOAT64, DataType::kFloat64},
    DataTypePair{ms_proto::MS_STRING, DataType::kString},
    DataTypePair{ms_proto::MS_BYTES, DataType::kBytes},
};

DataType FromWire(ms_proto::DataType wire) {
  for (const DataTypePair& pair : kDataTypes) {
    if (pair.wire == wire) return pair.dtype;
  }
  return DataType::kUnknown;
}

ms_proto::DataType ToWire(DataType dtype) {
  for (const DataTypePair& pair : kDataTypes) {
    if (pair.dtype == dtype) return pair.wire;
  }
  return ms_proto::MS_UNKNOWN;
}

std::span<const int64_t> DimsOf(const ms_proto::Tensor& tensor) {
  const auto& dims = tensor.shape().dims();
  return {dims.data(), static_cast<size_t>(dims.size())};
}

// A client may send a million dimensions; a message shows a few.
std::string DimsToString(std::span<const int64_t> dims) {
  const size_t shown = std::min(dims.size(), 2 * Shape::kMaxRank);
  return StrCat("[", StrJoin(dims.first(shown), ", "), shown < dims.size() ? ", ...]" : "]");
}

// A dimension of 0 ends a shape: nothing can be inside of nothing.
bool IsShapeValid(std::span<const int64_t> dims) {
  if (dims.size() > Shape::kMaxRank) return false;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] < 0 || (dims[i] == 0 && i + 1 < dims.size())) return false;
  }
  return Shape(dims).num_elements() >= 0;
}

Status CheckText(std::span<const int64_t> dims, size_t item_count) {
  if (item_count != 1) {
    return InvalidArgument(
        StrCat("bytes or string type shape batch size can only be 1, but given batch size is ",
               item_count));
  }
  if (dims.size() > 1 || (dims.size() == 1 && dims[0] != 1)) {
    return InvalidArgument(
        StrCat("bytes or string type input  shape can only be (1,) or empty, but given shape is ",
               DimsToString(dims)));
  }
  return OkStatus();
}

Status CheckNumbers(DataType dtype, std::span<const int64_t> dims, size_t byte_size) {
  if (!IsShapeValid(dims)) {
    return InvalidArgument(StrCat("input  shape ", DimsToString(dims), " invalid, at most ",
                                  Shape::kMaxRank,
                                  " dimensions, none negative and only the last one 0"));
  }
  // The division cannot overflow where the product could.
  const auto elements = static_cast<uint64_t>(Shape(dims).num_elements());
  const size_t item_size = DataTypeSize(dtype);
  if (byte_size % item_size != 0 || byte_size / item_size != elements) {
    return InvalidArgument(StrCat("input data size ", byte_size, " invalid, shape ",
                                  DimsToString(dims), " has ", elements, " elements of ", item_size,
                                  " bytes"));
  }
  return OkStatus();
}

Status CheckTensor(DataType dtype, std::span<const int64_t> dims, size_t byte_size,
                   size_t item_count) {
  if (dtype == DataType::kUnknown) return InvalidArgument("input data type unknown invalid");
  return IsText(dtype) ? CheckText(dims, item_count) : CheckNumbers(dtype, dims, byte_size);
}

// A buffer that owns the string a message held.
Buffer TakeData(ms_proto::Tensor* tensor) {
  std::unique_ptr<std::string> data(tensor->release_data());
  if (data == nullptr || data->empty()) return Buffer();
  std::string* owned = data.release();
  return Buffer::Wrap(owned->data(), owned->size(), [owned] { delete owned; });
}

std::vector<std::string_view> ItemsOf(const ms_proto::Tensor& tensor) {
  return {tensor.bytes_val().begin(), tensor.bytes_val().end()};
}

// The tensor has been checked.
Tensor TakeTensor(ms_proto::Tensor* tensor) {
  const DataType dtype = FromWire(tensor->dtype());
  if (!IsText(dtype)) return Tensor(dtype, Shape(DimsOf(*tensor)), TakeData(tensor));
  return Tensor::FromStrings(dtype, Shape(DimsOf(*tensor)), ItemsOf(*tensor));
}

// Text of a reply may hold any number of items; the shape follows them when it does not fit.
Tensor TakeReplyText(const ms_proto::Tensor& tensor) {
  const std::vector<std::string_view> items = ItemsOf(tensor);
  const auto count = static_cast<int64_t>(items.size());
  const std::span<const int64_t> dims = DimsOf(tensor);
  const bool fits = IsShapeValid(dims) && Shape(dims).num_elements() == count;
  return Tensor::FromStrings(FromWire(tensor.dtype()), fits ? Shape(dims) : Shape{count}, items);
}

Result<NamedInstance> TakeReplyInstance(ms_proto::Instance* from) {
  NamedInstance instance;
  instance.reserve(from->items_size());
  for (auto& [name, tensor] : *from->mutable_items()) {
    const DataType dtype = FromWire(tensor.dtype());
    if (IsText(dtype)) {
      instance.emplace_back(name, TakeReplyText(tensor));
      continue;
    }
    const Status status = CheckTensor(dtype, DimsOf(tensor), tensor.data().size(), 0);
    if (!status.ok()) return Internal(StrCat("output ", name, " of the reply: ", status.message()));
    instance.emplace_back(name, TakeTensor(&tensor));
  }
  // A map has no order of its own, and people read results.
  std::sort(instance.begin(), instance.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  return instance;
}

void WriteTensor(const Tensor& from, ms_proto::Tensor* to) {
  to->set_dtype(ToWire(from.dtype()));
  ms_proto::TensorShape* shape = to->mutable_shape();
  for (const int64_t dim : from.shape()) shape->add_dims(dim);
  if (IsText(from.dtype())) {
    for (const std::string_view item : from.Strings()) to->add_bytes_val(item.data(), item.size());
  } else {
    to->set_data(from.data(), from.byte_size());
  }
}

void WriteInstance(std::span<const std::string> names, const Instance& values,
                   ms_proto::Instance* to) {
  PIPESERVE_DCHECK(names.size() == values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    WriteTensor(values[i], &(*to->mutable_items())[names[i]]);
  }
}

void WriteError(const Status& status, ms_proto::ErrorMsg* to) {
  to->set_error_code(ErrorMsgCode(status.code()));
  to->set_error_msg(status.message());  // Whole; the original cuts the middle out of a long one.
}

}  // namespace

int64_t ErrorMsgCode(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
      return 0;
    case StatusCode::kInvalidArgument:
    case StatusCode::kNotFound:
    case StatusCode::kInternal:
      return 2;
    default:
      return 1;
  }
}

Status CheckRequestTensor(std::string_view input, DataType dtype, std::span<const int64_t> dims,
                          size_t byte_size, size_t item_count) {
  const Status status = CheckTensor(dtype, dims, byte_size, item_count);
  if (status.ok()) return status;
  return InvalidArgument(StrCat("Instances input ", input,
                                " check failed, detail: Tensor check failed: ", status.message()));
}

Result<std::vector<NamedInstance>> TakeInstances(ms_proto::PredictRequest* request) {
  std::vector<NamedInstance> instances;
  instances.reserve(request->instances_size());
  for (ms_proto::Instance& from : *request->mutable_instances()) {
    NamedInstance& instance = instances.emplace_back();
    instance.reserve(from.items_size());
    for (auto& [name, tensor] : *from.mutable_items()) {
      PIPESERVE_RETURN_IF_ERROR(CheckRequestTensor(name, FromWire(tensor.dtype()), DimsOf(tensor),
                                                   tensor.data().size(), tensor.bytes_val_size()));
      instance.emplace_back(name, TakeTensor(&tensor));
    }
  }
  request->clear_instances();
  return instances;
}

void WriteReply(const Status& error, std::span<const std::string> output_names,
                std::span<const Result<Instance>> instances, ms_proto::PredictReply* reply) {
  if (!error.ok()) {
    WriteError(error, reply->add_error_msg());
    return;
  }
  bool all_good = true;
  for (const Result<Instance>& instance : instances) {
    ms_proto::Instance* to = reply->add_instances();
    if (instance.ok()) WriteInstance(output_names, *instance, to);
    all_good = all_good && instance.ok();
  }
  if (all_good) return;
  for (const Result<Instance>& instance : instances) {
    WriteError(instance.status(), reply->add_error_msg());
  }
}

void WriteInstances(std::span<const NamedInstance> instances, ms_proto::PredictRequest* request) {
  for (const NamedInstance& instance : instances) {
    ms_proto::Instance* to = request->add_instances();
    for (const auto& [name, tensor] : instance) WriteTensor(tensor, &(*to->mutable_items())[name]);
  }
}

Result<InferReply> TakeReply(ms_proto::PredictReply* reply) {
  InferReply result;
  result.instances.reserve(reply->instances_size());
  for (ms_proto::Instance& from : *reply->mutable_instances()) {
    PIPESERVE_ASSIGN_OR_RETURN(NamedInstance instance, TakeReplyInstance(&from));
    result.instances.push_back(std::move(instance));
  }
  result.errors.reserve(reply->error_msg_size());
  for (const ms_proto::ErrorMsg& error : reply->error_msg()) {
    result.errors.push_back({error.error_code(), error.error_msg()});
  }
  return result;
}

}  // namespace pipeserve
