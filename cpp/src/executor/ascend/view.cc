#include "executor/ascend/view.h"

#include <functional>
#include <numeric>
#include <utility>

#include "base/str_cat.h"

namespace pipeserve::ascend {

std::vector<int64_t> DimsOf(const Shape& shape) {
  return {shape.dims().begin(), shape.dims().end()};
}

size_t RoomFor(size_t bytes) { return (bytes + 32 + 63) / 64 * 64; }

std::vector<int64_t> RowMajor(const std::vector<int64_t>& dims) {
  std::vector<int64_t> strides(dims.size(), 1);
  for (size_t i = dims.size(); i > 1; --i) strides[i - 2] = strides[i - 1] * dims[i - 1];
  return strides;
}

View View::Whole(std::byte* data, DataType type, std::vector<int64_t> dims) {
  std::vector<int64_t> strides = RowMajor(dims);
  return {data, dims, type, dims, std::move(strides), 0};
}

bool View::is_whole() const { return offset == 0 && strides == RowMajor(dims); }

int64_t View::element_count() const {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

View View::Transposed(const std::vector<int64_t>& perm) const {
  View view = *this;
  for (size_t i = 0; i < perm.size(); ++i) {
    view.dims[i] = dims[static_cast<size_t>(perm[i])];
    view.strides[i] = strides[static_cast<size_t>(perm[i])];
  }
  return view;
}

View View::Part(size_t axis, int64_t begin, int64_t size) const {
  View view = *this;
  view.offset += begin * strides[axis];
  view.dims[axis] = size;
  return view;
}

View View::Reshaped(std::vector<int64_t> new_dims) const {
  View view = Whole(data, type, std::move(new_dims));
  view.storage = storage;
  return view;
}

Result<abi::AclDataType> ToAclType(DataType type) {
  switch (type) {
    case DataType::kFloat32:
      return abi::AclDataType::kFloat;
    case DataType::kFloat16:
      return abi::AclDataType::kFloat16;
    case DataType::kFloat64:
      return abi::AclDataType::kDouble;
    case DataType::kInt32:
      return abi::AclDataType::kInt32;
    case DataType::kInt64:
      return abi::AclDataType::kInt64;
    case DataType::kInt8:
      return abi::AclDataType::kInt8;
    case DataType::kUint8:
      return abi::AclDataType::kUint8;
    case DataType::kBool:
      return abi::AclDataType::kBool;
    default:
      return Unimplemented(StrCat("there are no ", DataTypeName(type),
                                  " on the device, only float16 to float64, int8, int32, int64, "
                                  "uint8 and bool"));
  }
}

Result<TensorHandle> TensorHandle::Create(Device& device, const View& view) {
  PIPESERVE_ASSIGN_OR_RETURN(const abi::AclDataType type, ToAclType(view.type));
  TensorHandle tensor;
  tensor.handle_ = device.acl().aclCreateTensor(
      view.dims.data(), view.dims.size(), type, view.strides.data(), view.offset, abi::Format::kNd,
      view.storage.data(), view.storage.size(), view.data);
  if (tensor.handle_ == nullptr) {
    const char* const recent = device.acl().aclGetRecentErrMsg();
    return Internal(StrCat("aclCreateTensor gave nothing: ", recent == nullptr ? "" : recent));
  }
  tensor.device_ = &device;
  return tensor;
}

TensorHandle::TensorHandle(TensorHandle&& other) noexcept { *this = std::move(other); }

TensorHandle& TensorHandle::operator=(TensorHandle&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(handle_, other.handle_);
  return *this;
}

TensorHandle::~TensorHandle() {
  if (handle_ != nullptr) (void)PIPESERVE_ACL(*device_, aclDestroyTensor, handle_);
}

}  // namespace pipeserve::ascend
