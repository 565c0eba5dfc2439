#include "pipeserve/tensor.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/str_cat.h"

namespace pipeserve {
namespace {

struct DataTypeRow {
  std::string_view name;
  size_t size;
};

constexpr std::array<DataTypeRow, 15> kDataTypes = {{{"unknown", 0},
                                                     {"bool", 1},
                                                     {"int8", 1},
                                                     {"int16", 2},
                                                     {"int32", 4},
                                                     {"int64", 8},
                                                     {"uint8", 1},
                                                     {"uint16", 2},
                                                     {"uint32", 4},
                                                     {"uint64", 8},
                                                     {"float16", 2},
                                                     {"float32", 4},
                                                     {"float64", 8},
                                                     {"string", 0},
                                                     {"bytes", 0}}};

int64_t ByteSize(DataType dtype, const Shape& shape) {
  const int64_t count = shape.num_elements();
  const int64_t size = static_cast<int64_t>(DataTypeSize(dtype));
  if (count < 0 || size == 0) return -1;
  if (count > std::numeric_limits<int64_t>::max() / size) return -1;
  return count * size;
}

}  // namespace

std::string_view DataTypeName(DataType dtype) {
  const size_t index = static_cast<size_t>(dtype);
  return index < kDataTypes.size() ? kDataTypes[index].name : kDataTypes[0].name;
}

DataType DataTypeFromName(std::string_view name) {
  for (size_t i = 1; i < kDataTypes.size(); ++i) {
    if (kDataTypes[i].name == name) return static_cast<DataType>(i);
  }
  return DataType::kUnknown;
}

size_t DataTypeSize(DataType dtype) {
  const size_t index = static_cast<size_t>(dtype);
  return index < kDataTypes.size() ? kDataTypes[index].size : 0;
}

Shape::Shape(std::span<const int64_t> dims) : rank_(dims.size()) {
  PIPESERVE_DCHECK(dims.size() <= kMaxRank);
  std::copy(dims.begin(), dims.end(), dims_.begin());
}

Result<Shape> Shape::Create(std::span<const int64_t> dims) {
  if (dims.size() > kMaxRank) {
    return InvalidArgument(
        StrCat("a tensor has ", dims.size(), " dimensions, at most ", kMaxRank, " are supported"));
  }
  for (const int64_t dim : dims) {
    if (dim < kUnknownDim) {
      return InvalidArgument(
          StrCat("dimension ", dim, " of shape [", StrJoin(dims, ","), "] is negative"));
    }
  }
  return Shape(dims);
}

void Shape::Append(int64_t dim) {
  PIPESERVE_DCHECK(rank_ < kMaxRank);
  dims_[rank_++] = dim;
}

bool Shape::is_known() const {
  return std::none_of(begin(), end(), [](int64_t dim) { return dim == kUnknownDim; });
}

int64_t Shape::num_elements() const {
  int64_t product = 1;
  if (!is_known()) return -1;
  if (std::find(begin(), end(), 0) != end()) return 0;
  for (const int64_t dim : dims()) {
    if (product > std::numeric_limits<int64_t>::max() / dim) return -1;
    product *= dim;
  }
  return product;
}

std::string Shape::ToString() const {
  std::string text = "[";
  for (size_t i = 0; i < rank_; ++i) {
    if (i > 0) text += ',';
    text += dims_[i] == kUnknownDim ? "?" : std::to_string(dims_[i]);
  }
  return text + "]";
}

bool operator==(const Shape& a, const Shape& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

Tensor::Tensor(DataType dtype, const Shape& shape)
    : dtype_(dtype),
      shape_(shape),
      buffer_(Buffer::Allocate(static_cast<size_t>(std::max<int64_t>(0, ByteSize(dtype, shape))))) {
}

Result<Tensor> Tensor::Create(DataType dtype, const Shape& shape, Buffer buffer) {
  const int64_t wanted = ByteSize(dtype, shape);
  if (wanted < 0) {
    return InvalidArgument(StrCat(dtype, shape, " has no fixed byte size"));
  }
  if (static_cast<size_t>(wanted) != buffer.size()) {
    return InvalidArgument(
        StrCat(dtype, shape, " takes ", wanted, " bytes, ", buffer.size(), " came"));
  }
  return Tensor(dtype, shape, std::move(buffer));
}

Status Tensor::CheckDataType(DataType wanted) const {
  if (dtype_ == wanted) return OkStatus();
  return InvalidArgument(
      StrCat("the tensor is ", ToString(), ", its elements are wanted as ", wanted));
}

Tensor Tensor::FromStrings(DataType dtype, const Shape& shape,
                           std::span<const std::string_view> items) {
  PIPESERVE_DCHECK(IsText(dtype));
  size_t total = 0;
  for (const std::string_view item : items) total += sizeof(uint32_t) + item.size();
  Buffer buffer = Buffer::Allocate(total);
  std::byte* out = buffer.mutable_data();
  for (const std::string_view item : items) {
    const auto length = static_cast<uint32_t>(item.size());
    std::memcpy(out, &length, sizeof(length));
    std::memcpy(out + sizeof(length), item.data(), item.size());
    out += sizeof(length) + item.size();
  }
  return Tensor(dtype, shape, std::move(buffer));
}

std::vector<std::string_view> Tensor::Strings() const {
  PIPESERVE_DCHECK(IsText(dtype_));
  std::vector<std::string_view> items;
  const std::byte* at = buffer_.data();
  const std::byte* end = at + buffer_.size();
  while (at < end) {
    uint32_t length = 0;
    std::memcpy(&length, at, sizeof(length));
    at += sizeof(length);
    items.emplace_back(reinterpret_cast<const char*>(at), length);
    at += length;
  }
  return items;
}

std::string Tensor::ToString() const { return StrCat(dtype_, shape_); }

int64_t TensorInfo::byte_size() const { return ByteSize(dtype, shape); }

std::string TensorInfo::ToString() const { return StrCat(dtype, shape); }

}  // namespace pipeserve
