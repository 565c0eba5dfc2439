#include "graph/mindir_tensor.h"

#include "base/str_cat.h"
#include "mindir.pb.h"

namespace pipeserve {
namespace {

constexpr int64_t kUnknownRank = -2;

DataType DataTypeOf(int32_t number) {
  switch (number) {
    case mindir::TensorProto::FLOAT:
      return DataType::kFloat32;
    case mindir::TensorProto::UINT8:
      return DataType::kUint8;
    case mindir::TensorProto::INT8:
      return DataType::kInt8;
    case mindir::TensorProto::UINT16:
      return DataType::kUint16;
    case mindir::TensorProto::INT16:
      return DataType::kInt16;
    case mindir::TensorProto::INT32:
      return DataType::kInt32;
    case mindir::TensorProto::INT64:
      return DataType::kInt64;
    case mindir::TensorProto::BOOL:
      return DataType::kBool;
    case mindir::TensorProto::FLOAT16:
      return DataType::kFloat16;
    case mindir::TensorProto::DOUBLE:
    case mindir::TensorProto::FLOAT64:
      return DataType::kFloat64;
    case mindir::TensorProto::UINT32:
      return DataType::kUint32;
    case mindir::TensorProto::UINT64:
      return DataType::kUint64;
    default:
      return DataType::kUnknown;
  }
}

std::string DataTypeLabel(int32_t number) {
  if (!mindir::TensorProto::DataType_IsValid(number)) return StrCat("number ", number);
  return mindir::TensorProto::DataType_Name(static_cast<mindir::TensorProto::DataType>(number));
}

}  // namespace

std::string Printable(std::string_view name) {
  constexpr size_t kLongest = 120;
  std::string text(name.substr(0, kLongest));
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  return name.size() > kLongest ? text + "..." : text;
}

Result<TensorInfo> TensorInfoOf(const mindir::TensorProto& proto, std::string_view name) {
  const DataType dtype = DataTypeOf(proto.data_type());
  if (dtype == DataType::kUnknown) {
    return Unimplemented(StrCat("data type ", DataTypeLabel(proto.data_type()), " of ",
                                Printable(name), " is not supported"));
  }
  if (proto.dims_size() == 1 && proto.dims(0) == kUnknownRank) {
    return Unimplemented(StrCat(Printable(name), " has an unknown number of dimensions (-2), ",
                                "only single dimensions may be unknown"));
  }
  const Result<Shape> shape =
      Shape::Create({proto.dims().data(), static_cast<size_t>(proto.dims_size())});
  if (!shape.ok()) return shape.status().WithContext(Printable(name));
  return TensorInfo{std::string(name), dtype, *shape};
}

Result<Tensor> TensorOf(const mindir::TensorProto& proto) {
  PIPESERVE_ASSIGN_OR_RETURN(const TensorInfo info, TensorInfoOf(proto, proto.name()));
  if (proto.compression_type() != 0) {
    return Unimplemented(StrCat("compression ", proto.compression_type(), " of ",
                                Printable(proto.name()), " is not supported"));
  }
  const std::string& raw = proto.raw_data();
  if (info.byte_size() != static_cast<int64_t>(raw.size())) {
    return InvalidArgument(StrCat(Printable(proto.name()), " is ", info.ToString(), " and takes ",
                                  info.byte_size(), " bytes, ", raw.size(), " came"));
  }
  return Tensor(info.dtype, info.shape, Buffer::CopyOf(std::as_bytes(std::span(raw))));
}

}  // namespace pipeserve
