// A tensor as the device sees it: a block, and how elements lie in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "executor/ascend/device.h"
#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace pipeserve::ascend {

// Strides and offset count elements. A view of a slice keeps the address of the whole, which is
// aligned, and begins at an offset, because the device wants aligned addresses.
struct View {
  std::byte* data = nullptr;     // On the device.
  std::vector<int64_t> storage;  // The shape of what lies at `data`.
  DataType type = DataType::kUnknown;
  std::vector<int64_t> dims;
  std::vector<int64_t> strides;
  int64_t offset = 0;

  // All of a tensor, row after row.
  static View Whole(std::byte* data, DataType type, std::vector<int64_t> dims);

  // Whether the elements lie at `data` row after row with nothing in between.
  bool is_whole() const;
  int64_t element_count() const;

  // These share the elements.
  View Transposed(const std::vector<int64_t>& perm) const;
  // Along `axis`, `size` elements from `begin` on.
  View Part(size_t axis, int64_t begin, int64_t size) const;
  // As one whole of another shape; is_whole() must hold.
  View Reshaped(std::vector<int64_t> new_dims) const;
};

// The dimensions of a shape without unknown ones.
std::vector<int64_t> DimsOf(const Shape& shape);

// What a tensor of `bytes` bytes takes of a block that holds several: the device wants 32 bytes
// more than there are, and each to begin at a multiple of 64.
size_t RoomFor(size_t bytes);

// Row-major strides.
std::vector<int64_t> RowMajor(const std::vector<int64_t>& dims);

// Errors: kUnimplemented (a data type that graphs on the device have not).
Result<abi::AclDataType> ToAclType(DataType type);

// A view in the runtime's own form.
class TensorHandle {
 public:
  TensorHandle() = default;
  // Errors: those of ToAclType(), kInternal.
  static Result<TensorHandle> Create(Device& device, const View& view);
  TensorHandle(TensorHandle&& other) noexcept;
  TensorHandle& operator=(TensorHandle&& other) noexcept;
  ~TensorHandle();

  abi::Tensor* get() const { return handle_; }

 private:
  Device* device_ = nullptr;
  abi::Tensor* handle_ = nullptr;
};

}  // namespace pipeserve::ascend
