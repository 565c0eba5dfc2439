#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "base/str_cat.h"
#include "server/base64.h"
#include "server/rest_tensor.h"

namespace pipeserve {
namespace {

namespace dom = simdjson::dom;

constexpr std::array<std::pair<std::string_view, DataType>, 17> kTypes = {{
    {"int8", DataType::kInt8},
    {"int16", DataType::kInt16},
    {"int32", DataType::kInt32},
    {"int64", DataType::kInt64},
    {"uint8", DataType::kUint8},
    {"uint16", DataType::kUint16},
    {"uint32", DataType::kUint32},
    {"uint64", DataType::kUint64},
    {"fp16", DataType::kFloat16},
    {"float16", DataType::kFloat16},
    {"fp32", DataType::kFloat32},
    {"float32", DataType::kFloat32},
    {"fp64", DataType::kFloat64},
    {"float64", DataType::kFloat64},
    {"bool", DataType::kBool},
    {"str", DataType::kString},
    {"bytes", DataType::kBytes},
}};

struct Fields {
  dom::element b64;
  std::optional<dom::element> type;
  std::optional<dom::element> shape;
};

Result<Fields> ReadFields(const dom::object& object) {
  Fields fields;
  size_t b64_count = 0;
  size_t count = 0;
  for (const dom::key_value_pair field : object) {
    if (++count > 3) return InvalidArgument("json object, items size is more than 3");
    if (field.key == "b64") {
      fields.b64 = field.value;
      ++b64_count;
    } else if (field.key == "type") {
      fields.type = field.value;
    } else if (field.key == "shape") {
      fields.shape = field.value;
    } else {
      return InvalidArgument(
          StrCat("json object, key is not ['b64', 'type', 'shape'], fail key:", field.key));
    }
  }
  if (b64_count == 1) return fields;
  return InvalidArgument("json object, 'b64' should be specified only one time");
}

// The name of the type, which is known.
Result<std::string_view> ReadType(const std::optional<dom::element>& value) {
  std::string_view name = "bytes";
  if (value.has_value() && value->get(name) != simdjson::SUCCESS) {
    return InvalidArgument("json object, key is 'type', value should be string type");
  }
  const bool known = std::any_of(kTypes.begin(), kTypes.end(),
                                 [&](const auto& type) { return type.first == name; });
  if (known) return name;
  return InvalidArgument(StrCat("json object, specified type:'", name, "' is illegal"));
}

DataType TypeNamed(std::string_view name) {
  return std::find_if(kTypes.begin(), kTypes.end(),
                      [&](const auto& type) { return type.first == name; })
      ->second;
}

Status InvalidShape(std::string_view reason) {
  return InvalidArgument(StrCat("json object, key is 'shape', invalid shape value, ", reason));
}

Result<Shape> ReadShape(const std::optional<dom::element>& value) {
  Shape shape;
  if (!value.has_value()) return shape;
  dom::array dims;
  if (value->get(dims) != simdjson::SUCCESS) {
    return InvalidArgument("json object, key is 'shape', value should be array type");
  }
  for (const dom::element element : dims) {
    int64_t dim = 0;
    if (element.get(dim) != simdjson::SUCCESS || dim < 0) {
      return InvalidArgument("json object, key is 'shape', array value should be unsigned integer");
    }
    if (shape.rank() == Shape::kMaxRank) {
      return InvalidShape(StrCat("more than ", Shape::kMaxRank, " dimensions"));
    }
    if (shape.rank() > 0 && shape[shape.rank() - 1] == 0) {
      return InvalidShape("0 is only allowed as the last dimension");
    }
    shape.Append(dim);
  }
  if (shape.num_elements() < 0) return InvalidShape(StrCat(shape, " is too large"));
  return shape;
}

// A message does not repeat megabytes.
std::string Shorten(std::string_view text) {
  constexpr size_t kShown = 64;
  return text.size() <= kShown ? std::string(text) : StrCat(text.substr(0, kShown), "...");
}

std::string_view TextOf(const Buffer& buffer) {
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

}  // namespace

Result<Tensor> TensorFromBase64Object(const dom::object& object) {
  PIPESERVE_ASSIGN_OR_RETURN(const Fields fields, ReadFields(object));
  PIPESERVE_ASSIGN_OR_RETURN(const std::string_view type, ReadType(fields.type));
  PIPESERVE_ASSIGN_OR_RETURN(const Shape shape, ReadShape(fields.shape));
  const DataType dtype = TypeNamed(type);
  if (IsText(dtype) && shape.num_elements() != 1) {
    return InvalidArgument(
        "json object, only support scalar when data type is string or bytes, please check 'type' "
        "or 'shape'");
  }
  std::string_view text;
  if (fields.b64.get(text) != simdjson::SUCCESS) {
    return InvalidArgument("get scalar data failed, type is string, but json is not string type");
  }
  std::optional<Buffer> data = DecodeBase64(text);
  if (!data.has_value()) {
    return InvalidArgument(StrCat("'", Shorten(text), "' is illegal b64 encode string"));
  }
  if (IsText(dtype)) {
    const std::string_view item = TextOf(*data);
    return Tensor::FromStrings(dtype, shape, std::span(&item, 1));
  }
  const auto elements = static_cast<size_t>(shape.num_elements());
  const size_t item_size = DataTypeSize(dtype);
  if (data->size() % item_size != 0 || data->size() / item_size != elements) {
    return InvalidArgument(StrCat("size is not matched, decode base64 size:", data->size(),
                                  "; Given info: type:", type, "; type size:", item_size,
                                  "; element nums:", elements));
  }
  return Tensor(dtype, shape, *std::move(data));
}

}  // namespace pipeserve
