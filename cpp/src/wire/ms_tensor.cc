#include "wire/ms_tensor.h"

#include <algorithm>
#include <array>

#include "base/str_cat.h"
#include "ms_service.pb.h"

namespace pipeserve {

namespace ms_proto = ::mindspore::serving::proto;

namespace {

struct DataTypePair {
  ms_proto::DataType number;
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

// A client may send a million dimensions; a message shows a few.
std::string DimsToString(std::span<const int64_t> dims) {
  const size_t shown = std::min(dims.size(), 2 * Shape::kMaxRank);
  return StrCat("[", StrJoin(dims.first(shown), ", "), shown < dims.size() ? ", ...]" : "]");
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
  if (!AreDimsValid(dims)) {
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

}  // namespace

DataType DataTypeFromWire(int32_t number) {
  for (const DataTypePair& pair : kDataTypes) {
    if (pair.number == number) return pair.dtype;
  }
  return DataType::kUnknown;
}

int32_t DataTypeToWire(DataType dtype) {
  for (const DataTypePair& pair : kDataTypes) {
    if (pair.dtype == dtype) return pair.number;
  }
  return ms_proto::MS_UNKNOWN;
}

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

// A dimension of 0 ends a shape: nothing can be inside of nothing.
bool AreDimsValid(std::span<const int64_t> dims) {
  if (dims.size() > Shape::kMaxRank) return false;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] < 0 || (dims[i] == 0 && i + 1 < dims.size())) return false;
  }
  return Shape(dims).num_elements() >= 0;
}

Status CheckTensor(DataType dtype, std::span<const int64_t> dims, size_t byte_size,
                   size_t item_count) {
  if (dtype == DataType::kUnknown) return InvalidArgument("input data type unknown invalid");
  return IsText(dtype) ? CheckText(dims, item_count) : CheckNumbers(dtype, dims, byte_size);
}

Status CheckRequestTensor(std::string_view input, DataType dtype, std::span<const int64_t> dims,
                          size_t byte_size, size_t item_count) {
  const Status status = CheckTensor(dtype, dims, byte_size, item_count);
  if (status.ok()) return status;
  return InvalidArgument(StrCat("Instances input ", input,
                                " check failed, detail: Tensor check failed: ", status.message()));
}

}  // namespace pipeserve
