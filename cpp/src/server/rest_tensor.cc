#include "server/rest_tensor.h"

#include <cstdint>
#include <limits>
#include <utility>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

namespace dom = simdjson::dom;
using Kind = dom::element_type;

// Integers are one kind, whether or not they need the sign.
Kind KindOf(const dom::element& value) {
  return value.type() == Kind::UINT64 ? Kind::INT64 : value.type();
}

// The data type of a scalar; kUnknown for a kind that is none.
DataType ScalarType(Kind kind) {
  switch (kind) {
    case Kind::INT64:
      return DataType::kInt32;
    case Kind::DOUBLE:
      return DataType::kFloat32;
    case Kind::BOOL:
      return DataType::kBool;
    case Kind::STRING:
      return DataType::kString;
    default:
      return DataType::kUnknown;
  }
}

Result<int32_t> ToInt32(const dom::element& value) {
  int64_t number = 0;
  if (value.get(number) != simdjson::SUCCESS || number < std::numeric_limits<int32_t>::min() ||
      number > std::numeric_limits<int32_t>::max()) {
    return InvalidArgument(StrCat("json value ", simdjson::minify(value),
                                  " is out of range, integers are int32; use the b64 form"));
  }
  return static_cast<int32_t>(number);
}

// Writes one number or bool; `value` is of the kind that `dtype` comes from.
Status StoreNumber(const dom::element& value, DataType dtype, Tensor* tensor, int64_t index) {
  if (dtype == DataType::kInt32) {
    PIPESERVE_ASSIGN_OR_RETURN(tensor->mutable_data_as<int32_t>()[index], ToInt32(value));
  } else if (dtype == DataType::kFloat32) {
    double number = 0;
    if (value.get(number) == simdjson::SUCCESS) {
      // Beyond the range of float is infinity, as IEEE rounds it.
      tensor->mutable_data_as<float>()[index] = static_cast<float>(number);
    }
  } else {
    bool flag = false;
    if (value.get(flag) == simdjson::SUCCESS) tensor->mutable_data_as<bool>()[index] = flag;
  }
  return OkStatus();
}

Result<Tensor> ScalarFromJson(const dom::element& value) {
  const DataType dtype = ScalarType(KindOf(value));
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS) return Tensor::FromString(dtype, text);
  Tensor tensor(dtype, Shape{});
  PIPESERVE_RETURN_IF_ERROR(StoreNumber(value, dtype, &tensor, 0));
  return tensor;
}

// A nested list: the way down its first elements says what all others must look like.
struct ArrayPlan {
  Shape shape;
  dom::element first;  // The first innermost element.
};

Result<ArrayPlan> PlanArray(const dom::array& array) {
  ArrayPlan plan;
  dom::array level = array;
  while (true) {
    const size_t size = JsonArraySize(level);
    if (size == 0) break;
    if (plan.shape.rank() == Shape::kMaxRank) {
      return InvalidArgument(StrCat("json array, more than ", Shape::kMaxRank, " dimensions"));
    }
    plan.shape.Append(static_cast<int64_t>(size));
    plan.first = *level.begin();
    if (plan.first.get(level) != simdjson::SUCCESS) return plan;
  }
  if (plan.shape.rank() == 0) return InvalidArgument("json array, shape is empty");
  return InvalidArgument("json array, data should be number, bool, string or bytes");
}

// Every list has the size that its dimension says. Nothing is allocated before this is sure.
Status CheckSizes(const dom::array& array, const Shape& shape, size_t dim) {
  const auto size = static_cast<int64_t>(JsonArraySize(array));
  if (size != shape[dim]) {
    return InvalidArgument(StrCat("invalid json array: json size is ", size, ", the dim ", dim,
                                  " expected to be ", shape[dim]));
  }
  if (dim + 1 == shape.rank()) return OkStatus();
  for (const dom::element element : array) {
    dom::array inner;
    if (element.get(inner) != simdjson::SUCCESS) {
      return InvalidArgument("invalid json array: json type is not array");
    }
    PIPESERVE_RETURN_IF_ERROR(CheckSizes(inner, shape, dim + 1));
  }
  return OkStatus();
}

Status StoreNumbers(const dom::array& array, Kind kind, size_t dim, Tensor* tensor,
                    int64_t* index) {
  const bool innermost = dim + 1 == tensor->shape().rank();
  for (const dom::element element : array) {
    dom::array inner;
    if (!innermost && element.get(inner) == simdjson::SUCCESS) {
      PIPESERVE_RETURN_IF_ERROR(StoreNumbers(inner, kind, dim + 1, tensor, index));
      continue;
    }
    if (KindOf(element) != kind) {
      return InvalidArgument("json array, elements type is not equal");
    }
    PIPESERVE_RETURN_IF_ERROR(StoreNumber(element, tensor->dtype(), tensor, (*index)++));
  }
  return OkStatus();
}

Result<Tensor> TextFromArray(const ArrayPlan& plan) {
  if (plan.shape.num_elements() != 1) {
    return InvalidArgument("json array, string or bytes type only support one item");
  }
  PIPESERVE_ASSIGN_OR_RETURN(const Tensor item, TensorFromJson(plan.first));
  if (item.shape().rank() != 0) {
    return InvalidArgument("json array, data should be number, bool, string or bytes");
  }
  return Tensor(item.dtype(), plan.shape, item.buffer());
}

Result<Tensor> TensorFromArray(const dom::array& array) {
  PIPESERVE_ASSIGN_OR_RETURN(const ArrayPlan plan, PlanArray(array));
  PIPESERVE_RETURN_IF_ERROR(CheckSizes(array, plan.shape, 0));
  const Kind kind = KindOf(plan.first);
  if (kind == Kind::STRING || kind == Kind::OBJECT) return TextFromArray(plan);
  const DataType dtype = ScalarType(kind);
  if (dtype == DataType::kUnknown) {
    return InvalidArgument("json array, data should be number, bool, string or bytes");
  }
  Tensor tensor(dtype, plan.shape);
  int64_t index = 0;
  PIPESERVE_RETURN_IF_ERROR(StoreNumbers(array, kind, 0, &tensor, &index));
  return tensor;
}

}  // namespace

size_t JsonArraySize(const dom::array& array) {
  constexpr size_t kSaturated = 0xffffff;
  const size_t size = array.size();
  if (size < kSaturated) return size;
  size_t counted = 0;
  for (auto it = array.begin(); it != array.end(); ++it) ++counted;
  return counted;
}

Result<Tensor> TensorFromJson(const dom::element& value) {
  dom::array array;
  if (value.get(array) == simdjson::SUCCESS) return TensorFromArray(array);
  dom::object object;
  if (value.get(object) == simdjson::SUCCESS) return TensorFromBase64Object(object);
  if (value.is_null()) return InvalidArgument("json value is null, it is not supported");
  return ScalarFromJson(value);
}

}  // namespace pipeserve
