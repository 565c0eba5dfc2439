#include "graph/literals.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string_view>

#include "base/str_cat.h"
#include "graph/mindir_tensor.h"
#include "mindir.pb.h"

namespace pipeserve {
namespace {

using mindir::AttributeProto;

constexpr int kDeepest = 32;

// The numbers, strings or tensors of an attribute, from whichever field holds them.
Result<std::vector<Literal>> LeavesOf(const AttributeProto& attribute) {
  std::vector<Literal> leaves;
  for (const int64_t item : attribute.ints()) leaves.emplace_back().value = item;
  for (const float item : attribute.floats())
    leaves.emplace_back().value = static_cast<double>(item);
  for (const double item : attribute.doubles()) leaves.emplace_back().value = item;
  for (const std::string& item : attribute.strings()) leaves.emplace_back().value = item;
  for (const mindir::TensorProto& item : attribute.tensors()) {
    PIPESERVE_ASSIGN_OR_RETURN(Tensor tensor, TensorOf(item));
    leaves.emplace_back().value = std::move(tensor);
  }
  if (!leaves.empty()) return leaves;
  if (attribute.has_i()) leaves.emplace_back().value = static_cast<int64_t>(attribute.i());
  if (attribute.has_f()) leaves.emplace_back().value = static_cast<double>(attribute.f());
  if (attribute.has_d()) leaves.emplace_back().value = attribute.d();
  if (attribute.has_s()) leaves.emplace_back().value = attribute.s();
  if (attribute.has_t()) {
    PIPESERVE_ASSIGN_OR_RETURN(Tensor tensor, TensorOf(attribute.t()));
    leaves.emplace_back().value = std::move(tensor);
  }
  return leaves;
}

Status Mismatch(std::string_view nesting) {
  return InvalidArgument(
      StrCat("the values of a literal do not fit its nesting ", Printable(nesting)));
}

// Reads "Tuple[value1,Tuple[value2,],]" and hands its names the leaves in order.
class NestingParser {
 public:
  NestingParser(std::string_view text, std::vector<Literal> leaves)
      : text_(text), rest_(text), leaves_(std::move(leaves)) {}

  Result<Literal> Parse() {
    PIPESERVE_ASSIGN_OR_RETURN(Literal literal, ParseItem(0));
    Consume(",");
    if (!rest_.empty() || used_ != leaves_.size()) return Mismatch(text_);
    return literal;
  }

 private:
  bool Consume(std::string_view token) {
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  Result<Literal> ParseItem(int depth) {
    if (depth > kDeepest) return Mismatch(text_);
    if (Consume("Tuple[") || Consume("List[")) return ParseList(depth);
    const size_t length = std::min(rest_.find_first_of(",[]"), rest_.size());
    if (length == 0 || used_ == leaves_.size()) return Mismatch(text_);
    rest_.remove_prefix(length);
    return std::move(leaves_[used_++]);
  }

  Result<Literal> ParseList(int depth) {
    Literal::List items;
    while (!Consume("]")) {
      PIPESERVE_ASSIGN_OR_RETURN(Literal item, ParseItem(depth + 1));
      items.push_back(std::move(item));
      if (!Consume(",") && !rest_.starts_with(']')) return Mismatch(text_);
    }
    return Literal{std::move(items)};
  }

  std::string_view text_, rest_;
  std::vector<Literal> leaves_;
  size_t used_ = 0;
};

// A tensor without dimensions and bytes stands for its data type.
Result<Literal> ParseType(const AttributeProto& attribute) {
  if (attribute.tensors_size() != 1) return InvalidArgument("a data type has no value");
  PIPESERVE_ASSIGN_OR_RETURN(const TensorInfo info,
                             TensorInfoOf(attribute.tensors(0), "a data type"));
  return Literal{info.dtype};
}

bool IsType(const AttributeProto& attribute) {
  if (attribute.type() != AttributeProto::TENSORS || attribute.tensors_size() != 1) return false;
  const mindir::TensorProto& tensor = attribute.tensors(0);
  return tensor.dims_size() == 0 && !tensor.has_raw_data();
}

Result<Literal> ParseReference(const AttributeProto& attribute) {
  const std::string_view reference = attribute.ref_attr_name();
  if (reference.starts_with("Monad:")) return Literal{};
  if (reference.starts_with("type:")) return ParseType(attribute);
  for (const std::string_view prefix : {"scalar:", "tensor:"}) {
    if (!reference.starts_with(prefix)) continue;
    PIPESERVE_ASSIGN_OR_RETURN(std::vector<Literal> leaves, LeavesOf(attribute));
    return NestingParser(reference.substr(prefix.size()), std::move(leaves)).Parse();
  }
  return Unimplemented(StrCat("a literal of kind ", Printable(reference), " is not supported"));
}

Result<Literal> ParseTyped(const AttributeProto& attribute, int depth) {
  if (depth > kDeepest) return InvalidArgument("a literal is nested too deep");
  switch (attribute.type()) {
    case AttributeProto::TUPLE:
    case AttributeProto::LIST: {
      Literal::List items;
      for (const AttributeProto& value : attribute.values()) {
        PIPESERVE_ASSIGN_OR_RETURN(Literal item, ParseTyped(value, depth + 1));
        items.push_back(std::move(item));
      }
      return Literal{std::move(items)};
    }
    case AttributeProto::UMONAD:
    case AttributeProto::IOMONAD:
    case AttributeProto::NONE:
      return Literal{};
    default:
      break;
  }
  if (attribute.type() > AttributeProto::TENSORS || attribute.type() == AttributeProto::GRAPH) {
    return Unimplemented(StrCat("a literal of type ",
                                AttributeProto::AttributeType_Name(attribute.type()),
                                " is not supported"));
  }
  if (IsType(attribute)) return ParseType(attribute);
  PIPESERVE_ASSIGN_OR_RETURN(std::vector<Literal> leaves, LeavesOf(attribute));
  if (leaves.empty()) return InvalidArgument("a literal has no value");
  if (leaves.size() == 1) return std::move(leaves[0]);
  return Literal{std::move(leaves)};
}

bool IsInteger(const Tensor& tensor) {
  return tensor.dtype() == DataType::kInt64 || tensor.dtype() == DataType::kInt32;
}

Status NoInteger(std::string_view what) {
  return InvalidArgument(StrCat(what, " is no constant integer or list of them"));
}

std::vector<int64_t> IntegersOf(const Tensor& tensor) {
  const auto count = static_cast<size_t>(tensor.shape().num_elements());
  if (tensor.dtype() == DataType::kInt64) {
    return {tensor.data_as<int64_t>(), tensor.data_as<int64_t>() + count};
  }
  return {tensor.data_as<int32_t>(), tensor.data_as<int32_t>() + count};
}

// The nearest half-precision number, ties to even.
uint16_t HalfBits(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return sign | 0x7E00;   // Not a number.
  if (magnitude >= 0x477FF000) return sign | 0x7C00;  // From 65520 on all is infinite.
  if (magnitude < 0x38800000) {                       // Below 2^-14 halves are multiples of 2^-24.
    return sign | static_cast<uint16_t>(std::nearbyint(std::ldexp(std::abs(value), 24)));
  }
  magnitude += 0xFFF + ((magnitude >> 13) & 1);
  return sign | static_cast<uint16_t>((magnitude - 0x38000000) >> 13);
}

}  // namespace

Result<Literal> LiteralOf(const AttributeProto& attribute) {
  if (attribute.has_ref_attr_name()) return ParseReference(attribute);
  return ParseTyped(attribute, 0);
}

Result<std::vector<int64_t>> IntsOf(const Literal& literal, std::string_view what) {
  if (const auto* lone = std::get_if<int64_t>(&literal.value)) return std::vector<int64_t>{*lone};
  if (const auto* tensor = std::get_if<Tensor>(&literal.value)) {
    if (!IsInteger(*tensor) || tensor->shape().rank() > 1) return NoInteger(what);
    return IntegersOf(*tensor);
  }
  const auto* items = std::get_if<Literal::List>(&literal.value);
  if (items == nullptr) return NoInteger(what);
  std::vector<int64_t> integers;
  for (const Literal& item : *items) {
    PIPESERVE_ASSIGN_OR_RETURN(const int64_t integer, IntOf(item, what));
    integers.push_back(integer);
  }
  return integers;
}

Result<int64_t> IntOf(const Literal& literal, std::string_view what) {
  if (std::holds_alternative<Literal::List>(literal.value)) return NoInteger(what);
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<int64_t> integers, IntsOf(literal, what));
  if (integers.size() != 1) return NoInteger(what);
  return integers[0];
}

Result<DataType> DataTypeOf(const Literal& literal, std::string_view what) {
  if (const auto* dtype = std::get_if<DataType>(&literal.value)) return *dtype;
  const auto* number = std::get_if<int64_t>(&literal.value);
  if (number == nullptr) return InvalidArgument(StrCat(what, " is no data type"));
  // MindSpore's TypeId.
  constexpr std::pair<int64_t, DataType> kTypes[] = {
      {30, DataType::kBool},    {32, DataType::kInt8},    {33, DataType::kInt16},
      {34, DataType::kInt32},   {35, DataType::kInt64},   {37, DataType::kUint8},
      {38, DataType::kUint16},  {39, DataType::kUint32},  {40, DataType::kUint64},
      {42, DataType::kFloat16}, {43, DataType::kFloat32}, {44, DataType::kFloat64},
  };
  for (const auto& [id, dtype] : kTypes) {
    if (id == *number) return dtype;
  }
  return Unimplemented(StrCat(what, " ", *number, " is no data type that is supported"));
}

Result<Tensor> ScalarTensor(const Literal& literal, DataType dtype) {
  const auto* integer = std::get_if<int64_t>(&literal.value);
  const auto* real = std::get_if<double>(&literal.value);
  if (integer == nullptr && real == nullptr) return InvalidArgument("is no number");
  const auto number =
      static_cast<float>(integer != nullptr ? static_cast<double>(*integer) : *real);
  switch (dtype) {
    case DataType::kFloat32:
      return Tensor::Of<float>({}, {number});
    case DataType::kFloat16: {
      Tensor tensor(dtype, {});
      *tensor.mutable_data_as<uint16_t>() = HalfBits(number);
      return tensor;
    }
    case DataType::kInt32:
      if (integer != nullptr && *integer >= std::numeric_limits<int32_t>::min() &&
          *integer <= std::numeric_limits<int32_t>::max()) {
        return Tensor::Of<int32_t>({}, {static_cast<int32_t>(*integer)});
      }
      [[fallthrough]];
    default:
      return Unimplemented(StrCat("a Python number that changes the data type of a tensor of ",
                                  dtype, " is not supported"));
  }
}

}  // namespace pipeserve
