#include "server/rest_reply.h"

#include <simdjson.h>

#include <charconv>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/str_cat.h"
#include "server/base64.h"
#include "server/json_text.h"

namespace pipeserve {
namespace {

// An empty tensor is all brackets; more of them than this is no answer but an attack.
constexpr int64_t kMaxEmptyLists = 1 << 20;

float HalfToFloat(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const int fraction = half & 1023;
  float value = 0;
  if (exponent == 31) {
    value = fraction == 0 ? INFINITY : NAN;
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<float>(fraction), -24);
  } else {
    value = std::ldexp(static_cast<float>(fraction | 1024), exponent - 25);
  }
  return half & 0x8000 ? -value : value;
}

template <typename T>
void AppendInteger(T value, std::string* out) {
  char text[24];
  out->append(text, std::to_chars(text, text + sizeof(text), value).ptr);
}

template <typename T>
void AppendFloat(T value, std::string* out) {
  if (std::isnan(value)) {
    out->append("NaN");
  } else if (std::isinf(value)) {
    out->append(value > 0 ? "Infinity" : "-Infinity");
  } else {
    char text[32];
    const char* end = std::to_chars(text, text + sizeof(text), value).ptr;
    const std::string_view written(text, end - text);
    out->append(written);
    // A reader tells floats from integers by their look.
    if (written.find_first_of(".e") == std::string_view::npos) out->append(".0");
  }
}

template <typename T>
T Load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

void AppendNumber(DataType dtype, const std::byte* at, std::string* out) {
  switch (dtype) {
    case DataType::kBool:
      return static_cast<void>(out->append(Load<uint8_t>(at) != 0 ? "true" : "false"));
    case DataType::kInt8:
      return AppendInteger<int>(Load<int8_t>(at), out);
    case DataType::kInt16:
      return AppendInteger(Load<int16_t>(at), out);
    case DataType::kInt32:
      return AppendInteger(Load<int32_t>(at), out);
    case DataType::kInt64:
      return AppendInteger(Load<int64_t>(at), out);
    case DataType::kUint8:
      return AppendInteger<int>(Load<uint8_t>(at), out);
    case DataType::kUint16:
      return AppendInteger(Load<uint16_t>(at), out);
    case DataType::kUint32:
      return AppendInteger(Load<uint32_t>(at), out);
    case DataType::kUint64:
      return AppendInteger(Load<uint64_t>(at), out);
    case DataType::kFloat16:
      return AppendFloat(HalfToFloat(Load<uint16_t>(at)), out);
    case DataType::kFloat32:
      return AppendFloat(Load<float>(at), out);
    case DataType::kFloat64:
      return AppendFloat(Load<double>(at), out);
    default:
      PIPESERVE_DCHECK(false);
  }
}

// Writes the numbers of dimensions `axis` and up; returns where the next ones are.
const std::byte* AppendNumbers(const Tensor& tensor, size_t axis, const std::byte* at,
                               std::string* out) {
  if (axis == tensor.shape().rank()) {
    AppendNumber(tensor.dtype(), at, out);
    return at + DataTypeSize(tensor.dtype());
  }
  out->push_back('[');
  for (int64_t i = 0; i < tensor.shape()[axis]; ++i) {
    if (i > 0) out->push_back(',');
    at = AppendNumbers(tensor, axis + 1, at, out);
  }
  out->push_back(']');
  return at;
}

bool IsTooManyBrackets(const Shape& shape) {
  if (shape.num_elements() != 0) return false;
  int64_t lists = 1;
  for (const int64_t dim : shape) {
    if (dim == 0) return false;
    if (dim > kMaxEmptyLists / lists) return true;
    lists *= dim;
  }
  return false;
}

Status AppendItem(DataType dtype, std::string_view item, std::string* out) {
  if (dtype == DataType::kBytes) {
    out->append("{\"b64\": \"");
    AppendBase64(item, out);
    out->append("\"}");
    return OkStatus();
  }
  if (!simdjson::validate_utf8(item.data(), item.size())) {
    return Internal("a string is not UTF-8");
  }
  AppendJsonString(item, out);
  return OkStatus();
}

Status AppendText(const Tensor& tensor, std::string* out) {
  const std::vector<std::string_view> items = tensor.Strings();
  if (tensor.shape().rank() > 1) {
    return Internal(
        StrCat("string and bytes have at most one dimension, this is ", tensor.ToString()));
  }
  const bool is_list = tensor.shape().rank() == 1 || items.size() != 1;
  if (is_list) out->push_back('[');
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out->push_back(',');
    PIPESERVE_RETURN_IF_ERROR(AppendItem(tensor.dtype(), items[i], out));
  }
  if (is_list) out->push_back(']');
  return OkStatus();
}

Status AppendTensor(const Tensor& tensor, std::string* out) {
  if (tensor.empty()) return Internal("data type is unknown");
  if (IsText(tensor.dtype())) return AppendText(tensor, out);
  if (IsTooManyBrackets(tensor.shape())) {
    return Internal(StrCat(tensor.ToString(), " is empty and has too many lists to write"));
  }
  AppendNumbers(tensor, 0, tensor.buffer().data(), out);
  return OkStatus();
}

Status AppendInstance(std::span<const std::string> names, const Instance& values,
                      std::string* out) {
  PIPESERVE_DCHECK(names.size() == values.size());
  out->push_back('{');
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out->push_back(',');
    AppendJsonMessage(names[i], out);
    out->append(": ");
    const Status status = AppendTensor(values[i], out);
    if (!status.ok()) {
      return Internal(StrCat("Parse reply failed, output ", names[i], ": ", status.message()));
    }
  }
  out->push_back('}');
  return OkStatus();
}

}  // namespace

std::string WriteRestError(std::string_view text) {
  std::string out = "{\"error_msg\": ";
  AppendJsonMessage(text, &out);
  out.push_back('}');
  return out;
}

Result<std::string> WriteRestReply(std::span<const std::string> output_names,
                                   std::span<const Result<Instance>> instances) {
  std::string out = "{\"instances\": [";
  std::string_view between = "";
  for (const Result<Instance>& instance : instances) {
    out.append(between);
    between = ", ";
    if (!instance.ok()) {
      out.append(WriteRestError(instance.status().message()));
    } else {
      PIPESERVE_RETURN_IF_ERROR(AppendInstance(output_names, *instance, &out));
    }
  }
  out.append("]}");
  return out;
}

}  // namespace pipeserve
