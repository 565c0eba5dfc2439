// Tensors, scalars, arrays and executors.
#include <cstring>
#include <utility>

#include "calls.h"
#include "memory_check.h"
#include "operator.h"

namespace pipeserve::ascend::sim::calls {
namespace {

constexpr uint64_t kMostDims = 8;
constexpr uintptr_t kDataAlignment = 32;

struct Request {
  std::vector<int64_t> dims;
  std::vector<int64_t> strides;
  std::vector<int64_t> storage;
  int64_t offset;
  AclDataType type;
  Format format;
};

// What is wrong with a tensor, beside its memory; empty when nothing is.
std::string WrongWith(const Request& request, int64_t storage_count) {
  if (SizeOf(request.type) == 0) return "its type is not known";
  if (request.format != Format::kNd) return "its format is not ND";
  if (request.offset < 0) return "its offset is negative";
  int64_t last = request.offset;
  bool empty = false;
  for (size_t i = 0; i < request.dims.size(); ++i) {
    if (request.dims[i] < 0 || request.strides[i] < 0) return "a dim or stride is negative";
    empty = empty || request.dims[i] == 0;
    last += (request.dims[i] - 1) * request.strides[i];
  }
  if (!empty && last >= storage_count) {
    return Text("its last element is ", last, ", and its storage has ", storage_count);
  }
  return {};
}

Tensor* Refused(Call& call, const std::string& why) {
  return call.Break("N5", codes::kWrongArgument, Text("aclCreateTensor: ", why));
}

}  // namespace

Tensor* aclCreateTensor(Call& call, const int64_t* dims, uint64_t dim_count, AclDataType type,
                        const int64_t* strides, int64_t offset, Format format,
                        const int64_t* storage_dims, uint64_t storage_dim_count, void* device) {
  if (dim_count > kMostDims || storage_dim_count > kMostDims) return Refused(call, "over 8 dims");
  if ((dim_count > 0 && (dims == nullptr || strides == nullptr)) ||
      (storage_dim_count > 0 && storage_dims == nullptr)) {
    return Refused(call, "null dims");
  }
  const Request request = {{dims, dims + dim_count},
                           {strides, strides + dim_count},
                           {storage_dims, storage_dims + storage_dim_count},
                           offset,
                           type,
                           format};
  int64_t storage_count = 1;
  for (const int64_t dim : request.storage) storage_count *= dim;
  const std::string wrong = WrongWith(request, storage_count);
  if (!wrong.empty()) return Refused(call, wrong);

  const auto tensor = std::make_shared<TensorObject>();
  tensor->view = {type, request.dims, request.strides, nullptr, nullptr};
  if (tensor->view.count() > 0) {
    const size_t size = static_cast<size_t>(storage_count) * SizeOf(type);
    tensor->block = FindDeviceMemory(call, "N5", "the data", device, size);
    if (tensor->block == nullptr) return nullptr;
    if (reinterpret_cast<uintptr_t>(device) % kDataAlignment != 0) {
      return Refused(call, "its data is not aligned to 32 bytes");
    }
    tensor->view.device =
        static_cast<const std::byte*>(device) + static_cast<size_t>(offset) * SizeOf(type);
    tensor->view.data = call.core.device_memory.View(tensor->view.device);
  }
  return static_cast<Tensor*>(call.core.objects.Add(tensor));
}

AclCode aclDestroyTensor(Call& call, const Tensor* handle) {
  const auto tensor = call.Find<TensorObject>(handle);
  if (tensor == nullptr) return call.bad_handle();
  if (tensor->needed_by > 0) {
    call.Break("N4", 0, "aclDestroyTensor of a tensor that a repeatable executor needs");
  }
  call.core.objects.Remove(*tensor);
  return AclCode::kSuccess;
}

Scalar* aclCreateScalar(Call& call, void* value, AclDataType type) {
  if (value == nullptr || SizeOf(type) == 0) {
    return call.Break("N5", codes::kWrongArgument, "aclCreateScalar of no value or type");
  }
  const auto scalar = std::make_shared<ScalarObject>();
  const auto* const bytes = static_cast<const std::byte*>(value);
  scalar->type = type;
  scalar->real = LoadReal(type, bytes);
  scalar->integer = LoadInteger(type, bytes);
  return static_cast<Scalar*>(call.core.objects.Add(scalar));
}

AclCode aclDestroyScalar(Call& call, const Scalar* handle) {
  const auto scalar = call.Find<ScalarObject>(handle);
  if (scalar == nullptr) return call.bad_handle();
  call.core.objects.Remove(*scalar);
  return AclCode::kSuccess;
}

IntArray* aclCreateIntArray(Call& call, const int64_t* values, uint64_t count) {
  if (values == nullptr && count > 0) {
    return call.Break("N5", codes::kWrongArgument, "aclCreateIntArray of null");
  }
  const auto array = std::make_shared<IntArrayObject>();
  array->values.assign(values, values + count);
  return static_cast<IntArray*>(call.core.objects.Add(array));
}

AclCode aclDestroyIntArray(Call& call, const IntArray* handle) {
  const auto array = call.Find<IntArrayObject>(handle);
  if (array == nullptr) return call.bad_handle();
  call.core.objects.Remove(*array);
  return AclCode::kSuccess;
}

AclCode aclSetAclOpExecutorRepeatable(Call& call, OpExecutor* handle) {
  const auto executor = call.Find<ExecutorObject>(handle);
  if (executor == nullptr) return call.bad_handle();
  if (CurrentThread().last_plan != handle) {
    call.Break("N3", 0, "aclSetAclOpExecutorRepeatable not right after phase 1");
  }
  if (!call.core.settings.repeatable || !executor->plan.repeatable) {
    return call.Fail(codes::kOperatorInternal, "this executor cannot be made repeatable");
  }
  if (std::exchange(executor->repeatable, true)) return AclCode::kSuccess;
  for (const auto& tensor : executor->plan.inputs) ++tensor->needed_by;
  ++executor->plan.output->needed_by;
  return AclCode::kSuccess;
}

AclCode aclDestroyAclOpExecutor(Call& call, OpExecutor* handle) {
  const auto executor = call.Find<ExecutorObject>(handle);
  if (executor == nullptr) return call.bad_handle();
  if (executor->repeatable) {
    for (const auto& tensor : executor->plan.inputs) --tensor->needed_by;
    --executor->plan.output->needed_by;
  }
  call.core.objects.Remove(*executor);
  return AclCode::kSuccess;
}

}  // namespace pipeserve::ascend::sim::calls
