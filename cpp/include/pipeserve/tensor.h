// Tensors: a data type, a shape and reference-counted bytes. Row-major, little-endian.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>
#include <ostream>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "pipeserve/status.h"

namespace [[gnu::visibility("default")]] pipeserve {

// Numbered like the names that error texts print (kMSI_Float32 = 11). The wire and the model file
// have numbers of their own; `wire` and `graph` translate.
enum class DataType : uint8_t {
  kUnknown = 0,
  kBool = 1,
  kInt8 = 2,
  kInt16 = 3,
  kInt32 = 4,
  kInt64 = 5,
  kUint8 = 6,
  kUint16 = 7,
  kUint32 = 8,
  kUint64 = 9,
  kFloat16 = 10,
  kFloat32 = 11,
  kFloat64 = 12,
  kString = 13,  // Text items, see Tensor::FromStrings.
  kBytes = 14,   // Byte-string items, same layout.
};

// "float32", "string", ...; "unknown" for kUnknown.
std::string_view DataTypeName(DataType dtype);
// The inverse of DataTypeName; kUnknown for any other name.
DataType DataTypeFromName(std::string_view name);
// Bytes of one element; 0 for kUnknown, kString and kBytes.
size_t DataTypeSize(DataType dtype);
inline bool IsText(DataType dtype) {
  return dtype == DataType::kString || dtype == DataType::kBytes;
}
inline std::ostream& operator<<(std::ostream& out, DataType dtype) {
  return out << DataTypeName(dtype);
}

// Dimensions, outermost first; none for a scalar. Never allocates: at most kMaxRank dimensions.
// A dimension of kUnknownDim (-1) is one that is only known when a call arrives.
class Shape {
 public:
  static constexpr size_t kMaxRank = 8;
  static constexpr int64_t kUnknownDim = -1;

  Shape() = default;
  // At most kMaxRank dimensions; what comes from outside goes through Create().
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims);

  // Errors: kInvalidArgument (more than kMaxRank dimensions, or one below -1).
  static Result<Shape> Create(std::span<const int64_t> dims);

  size_t rank() const { return rank_; }
  int64_t operator[](size_t i) const { return dims_[i]; }
  int64_t& operator[](size_t i) { return dims_[i]; }
  std::span<const int64_t> dims() const { return {dims_.data(), rank_}; }
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  void Append(int64_t dim);

  bool is_known() const;
  // Product of the dimensions, 1 for a scalar; -1 when one is unknown or the product overflows.
  int64_t num_elements() const;
  // "[128,96]"; "[]" for a scalar, "?" for an unknown dimension.
  std::string ToString() const;

  friend bool operator==(const Shape& a, const Shape& b);

 private:
  std::array<int64_t, kMaxRank> dims_{};
  size_t rank_ = 0;
};

inline std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  return out << shape.ToString();
}

// What somebody found out about bytes, or where a copy of them lies; see Buffer::Attach().
class BufferCompanion {
 public:
  virtual ~BufferCompanion() = default;
};

// A reference to bytes that somebody keeps alive: this process's pool, a numpy array, a gRPC
// slice, shared memory. Copying a Buffer shares the bytes. Thread-safe like shared_ptr.
class Buffer {
 public:
  Buffer() = default;  // Empty.
  Buffer(const Buffer& other);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer other) noexcept;
  ~Buffer();

  // `size` bytes from the size-class pool, 64-byte aligned, not cleared.
  static Buffer Allocate(size_t size);
  // A copy of `bytes` in a new buffer.
  static Buffer CopyOf(std::span<const std::byte> bytes);
  // Bytes that belong to somebody else; `release` runs once, on any thread, when nobody uses them.
  // `owner` is handed back by owner(), so that whoever wrapped the bytes can know them again.
  static Buffer Wrap(void* data, size_t size, std::function<void()> release, void* owner = nullptr);

  const std::byte* data() const { return data_; }
  std::byte* mutable_data() { return data_; }
  size_t size() const { return size_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // `size` bytes from `offset`, sharing these; the range must lie inside.
  Buffer Slice(size_t offset, size_t size) const;
  // What Wrap() was given for exactly these bytes; null for pool bytes and for a slice.
  void* owner() const;
  // True when this is the only reference to the bytes.
  bool unique() const;

  // Leaves `companion` with the bytes, for as long as anybody refers to them, so that what was made
  // of them once need not be made again. It must hold for exactly these bytes. False when they
  // have one already, or are empty: then nothing is kept.
  bool Attach(std::unique_ptr<const BufferCompanion> companion) const;
  // What was attached to exactly these bytes; null for a slice.
  const BufferCompanion* companion() const;

 private:
  struct Control;
  Buffer(Control* control, std::byte* data, size_t size)
      : control_(control), data_(data), size_(size) {}

  bool is_whole() const;  // Not a slice.

  Control* control_ = nullptr;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// A value type: copying shares the bytes. Whoever received a tensor treats it as read-only; only
// its producer writes, before handing it on.
class Tensor {
 public:
  Tensor() = default;  // kUnknown, no bytes.
  // A new buffer of the size that dtype and shape say; contents undefined.
  Tensor(DataType dtype, const Shape& shape);
  // Existing bytes; their size must be what dtype and shape say (Create() checks).
  Tensor(DataType dtype, const Shape& shape, Buffer buffer)
      : dtype_(dtype), shape_(shape), buffer_(std::move(buffer)) {}

  // Errors: kInvalidArgument (unknown dtype or dimension, or another byte size).
  static Result<Tensor> Create(DataType dtype, const Shape& shape, Buffer buffer);

  // kString or kBytes items, each stored with a 4-byte little-endian length before it.
  static Tensor FromStrings(DataType dtype, const Shape& shape,
                            std::span<const std::string_view> items);
  static Tensor FromString(DataType dtype, std::string_view item) {  // Shape [].
    return FromStrings(dtype, Shape{}, std::span(&item, 1));
  }
  // The items of a text tensor, as views on its bytes.
  std::vector<std::string_view> Strings() const;

  // A copy of a vector, an array or a span of numbers, whose type is the data type. Errors:
  // kInvalidArgument (not as many as the shape says).
  template <std::ranges::contiguous_range Numbers>
  static Result<Tensor> CopyOf(const Shape& shape, const Numbers& numbers);
  // A copy of the elements. Errors: kInvalidArgument (they are of another type).
  template <typename T>
  Result<std::vector<T>> ToVector() const;

  // For tests and examples: Tensor::Of<float>({2, 2}, {1, 2, 3, 4}).
  template <typename T>
  static Tensor Of(const Shape& shape, std::initializer_list<T> values);

  DataType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  const Buffer& buffer() const { return buffer_; }
  size_t byte_size() const { return buffer_.size(); }
  bool empty() const { return dtype_ == DataType::kUnknown; }

  const void* data() const { return buffer_.data(); }
  void* mutable_data() { return buffer_.mutable_data(); }
  // Unchecked. What came in a message may lie at any address, ToVector() reads it nevertheless.
  template <typename T>
  const T* data_as() const {
    return reinterpret_cast<const T*>(buffer_.data());
  }
  template <typename T>
  T* mutable_data_as() {
    return reinterpret_cast<T*>(buffer_.mutable_data());
  }

  // "float32[128,96]".
  std::string ToString() const;

 private:
  Status CheckDataType(DataType wanted) const;

  DataType dtype_ = DataType::kUnknown;
  Shape shape_;
  Buffer buffer_;
};

// What a graph expects or gives: a name, a data type, and a shape that may hold unknown dimensions.
struct TensorInfo {
  std::string name;
  DataType dtype = DataType::kUnknown;
  Shape shape;

  // Bytes of the whole tensor; -1 when a dimension is unknown.
  int64_t byte_size() const;
  // "float32[?,96]".
  std::string ToString() const;
  friend bool operator==(const TensorInfo&, const TensorInfo&) = default;
};

namespace internal {
template <typename T>
constexpr DataType DataTypeOf();
template <>
constexpr DataType DataTypeOf<bool>() {
  return DataType::kBool;
}
template <>
constexpr DataType DataTypeOf<int8_t>() {
  return DataType::kInt8;
}
template <>
constexpr DataType DataTypeOf<int16_t>() {
  return DataType::kInt16;
}
template <>
constexpr DataType DataTypeOf<int32_t>() {
  return DataType::kInt32;
}
template <>
constexpr DataType DataTypeOf<int64_t>() {
  return DataType::kInt64;
}
template <>
constexpr DataType DataTypeOf<uint8_t>() {
  return DataType::kUint8;
}
template <>
constexpr DataType DataTypeOf<uint16_t>() {
  return DataType::kUint16;
}
template <>
constexpr DataType DataTypeOf<uint32_t>() {
  return DataType::kUint32;
}
template <>
constexpr DataType DataTypeOf<uint64_t>() {
  return DataType::kUint64;
}
template <>
constexpr DataType DataTypeOf<float>() {
  return DataType::kFloat32;
}
template <>
constexpr DataType DataTypeOf<double>() {
  return DataType::kFloat64;
}
}  // namespace internal

template <std::ranges::contiguous_range Numbers>
Result<Tensor> Tensor::CopyOf(const Shape& shape, const Numbers& numbers) {
  return Create(internal::DataTypeOf<std::ranges::range_value_t<Numbers>>(), shape,
                Buffer::CopyOf(std::as_bytes(std::span(numbers))));
}

template <typename T>
Result<std::vector<T>> Tensor::ToVector() const {
  static_assert(!std::is_same_v<T, bool>, "a vector of bool has no bytes to copy to");
  PIPESERVE_RETURN_IF_ERROR(CheckDataType(internal::DataTypeOf<T>()));
  std::vector<T> elements(byte_size() / sizeof(T));
  if (!elements.empty()) std::memcpy(elements.data(), data(), byte_size());
  return elements;
}

template <typename T>
Tensor Tensor::Of(const Shape& shape, std::initializer_list<T> values) {
  Tensor tensor(internal::DataTypeOf<T>(), shape);
  T* out = tensor.mutable_data_as<T>();
  for (const T& value : values) *out++ = value;
  return tensor;
}

}  // namespace pipeserve
