// Compared with the published headers by tools/check_ascend_abi.py; compiled, never linked.
//
// -DPIPESERVE_CHECK_META: aclnn's meta functions, whose types come from a file that the tool
// writes.
#include <acl/acl.h>
#include <hccl/hccl.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "executor/ascend/abi.h"
#ifdef PIPESERVE_CHECK_META
#include "meta_types.h"
#endif

namespace {

namespace abi = pipeserve::ascend::abi;

// What the calling convention can see of a type: an enum is the integer of its size, a pointer to a
// struct is void*; arithmetic types, whether what is pointed to is const, and how often, stay.
template <size_t>
struct IntegerOf;
template <>
struct IntegerOf<4> {
  using Type = int32_t;
};

template <typename T>
struct Seen {
  static_assert(!std::is_class_v<T>, "a struct by value");
  using Type = T;
};
template <typename T>
  requires std::is_enum_v<T>
struct Seen<T> {
  using Type = typename IntegerOf<sizeof(T)>::Type;
};
template <typename T>
  requires std::is_enum_v<T>
struct Seen<const T> {
  using Type = const typename IntegerOf<sizeof(T)>::Type;
};
template <typename T>
struct Seen<T*> {
  using Type = typename Seen<T>::Type*;
};
template <typename T>
  requires(std::is_class_v<T> || std::is_void_v<T>)
struct Seen<T*> {
  using Type = void*;
};
template <typename R, typename... Args>
struct Seen<R(Args...)> {
  using Type = typename Seen<R>::Type(typename Seen<std::remove_cv_t<Args>>::Type...);
};
template <typename Pointer>
using SeenFunction = typename Seen<std::remove_pointer_t<Pointer>>::Type;

template <typename Ours, typename Theirs>
constexpr bool kSame = std::is_same_v<SeenFunction<Ours>, SeenFunction<Theirs>>;

}  // namespace

#define PIPESERVE_CHECK(name, ...) \
  static_assert(kSame<decltype(abi::Functions::name), decltype(&::name)>, "ABI mismatch: " #name);
PIPESERVE_ASCEND_RUNTIME(PIPESERVE_CHECK)
PIPESERVE_ASCEND_MODEL(PIPESERVE_CHECK)
PIPESERVE_ASCEND_COMM(PIPESERVE_CHECK)
PIPESERVE_ASCEND_COLLECTIVES(PIPESERVE_CHECK)

#ifdef PIPESERVE_CHECK_META
#define PIPESERVE_CHECK_TYPE(name, ...) \
  static_assert(kSame<decltype(abi::Functions::name), _##name>, "ABI mismatch: " #name);
PIPESERVE_CHECK_TYPE(aclCreateTensor)
PIPESERVE_CHECK_TYPE(aclDestroyTensor)
PIPESERVE_CHECK_TYPE(aclCreateScalar)
PIPESERVE_CHECK_TYPE(aclDestroyScalar)
PIPESERVE_CHECK_TYPE(aclCreateIntArray)
PIPESERVE_CHECK_TYPE(aclDestroyIntArray)
static_assert(kSame<decltype(abi::Functions::aclnnMatmul), OpApiFunc>, "ABI mismatch: phase 2");
#endif

static_assert(sizeof(abi::RootInfo) == sizeof(HcclRootInfo));
static_assert(sizeof(abi::ModelDims) == sizeof(aclmdlIODims));
static_assert(offsetof(abi::ModelDims, count) == offsetof(aclmdlIODims, dimCount));
static_assert(offsetof(abi::ModelDims, dims) == offsetof(aclmdlIODims, dims));

#define PIPESERVE_SAME(ours, theirs) \
  static_assert(static_cast<int64_t>(abi::ours) == static_cast<int64_t>(theirs), #theirs)
PIPESERVE_SAME(AclCode::kSuccess, ACL_SUCCESS);
PIPESERVE_SAME(AclCode::kRepeatInitialize, ACL_ERROR_REPEAT_INITIALIZE);
PIPESERVE_SAME(AclCode::kRepeatFinalize, ACL_ERROR_REPEAT_FINALIZE);
PIPESERVE_SAME(HcclCode::kSuccess, HCCL_SUCCESS);
PIPESERVE_SAME(AclDataType::kUndefined, ACL_DT_UNDEFINED);
PIPESERVE_SAME(AclDataType::kFloat, ACL_FLOAT);
PIPESERVE_SAME(AclDataType::kFloat16, ACL_FLOAT16);
PIPESERVE_SAME(AclDataType::kInt8, ACL_INT8);
PIPESERVE_SAME(AclDataType::kInt32, ACL_INT32);
PIPESERVE_SAME(AclDataType::kUint8, ACL_UINT8);
PIPESERVE_SAME(AclDataType::kInt16, ACL_INT16);
PIPESERVE_SAME(AclDataType::kUint16, ACL_UINT16);
PIPESERVE_SAME(AclDataType::kUint32, ACL_UINT32);
PIPESERVE_SAME(AclDataType::kInt64, ACL_INT64);
PIPESERVE_SAME(AclDataType::kUint64, ACL_UINT64);
PIPESERVE_SAME(AclDataType::kDouble, ACL_DOUBLE);
PIPESERVE_SAME(AclDataType::kBool, ACL_BOOL);
PIPESERVE_SAME(HcclDataType::kInt8, HCCL_DATA_TYPE_INT8);
PIPESERVE_SAME(HcclDataType::kInt16, HCCL_DATA_TYPE_INT16);
PIPESERVE_SAME(HcclDataType::kInt32, HCCL_DATA_TYPE_INT32);
PIPESERVE_SAME(HcclDataType::kFloat16, HCCL_DATA_TYPE_FP16);
PIPESERVE_SAME(HcclDataType::kFloat, HCCL_DATA_TYPE_FP32);
PIPESERVE_SAME(HcclDataType::kInt64, HCCL_DATA_TYPE_INT64);
PIPESERVE_SAME(HcclDataType::kUint64, HCCL_DATA_TYPE_UINT64);
PIPESERVE_SAME(HcclDataType::kUint8, HCCL_DATA_TYPE_UINT8);
PIPESERVE_SAME(HcclDataType::kUint16, HCCL_DATA_TYPE_UINT16);
PIPESERVE_SAME(HcclDataType::kUint32, HCCL_DATA_TYPE_UINT32);
PIPESERVE_SAME(HcclDataType::kDouble, HCCL_DATA_TYPE_FP64);
PIPESERVE_SAME(HcclReduceOp::kSum, HCCL_REDUCE_SUM);
PIPESERVE_SAME(Format::kNd, ACL_FORMAT_ND);
PIPESERVE_SAME(MemcpyKind::kHostToHost, ACL_MEMCPY_HOST_TO_HOST);
PIPESERVE_SAME(MemcpyKind::kHostToDevice, ACL_MEMCPY_HOST_TO_DEVICE);
PIPESERVE_SAME(MemcpyKind::kDeviceToHost, ACL_MEMCPY_DEVICE_TO_HOST);
PIPESERVE_SAME(MemcpyKind::kDeviceToDevice, ACL_MEMCPY_DEVICE_TO_DEVICE);
PIPESERVE_SAME(MallocPolicy::kHugeFirst, ACL_MEM_MALLOC_HUGE_FIRST);
PIPESERVE_SAME(MemoryAttribute::kDdr, ACL_DDR_MEM);
PIPESERVE_SAME(MemoryAttribute::kHbm, ACL_HBM_MEM);
PIPESERVE_SAME(SystemParameter::kDeterministic, ACL_OPT_DETERMINISTIC);
PIPESERVE_SAME(kEventSync, ACL_EVENT_SYNC);
PIPESERVE_SAME(kStreamFastLaunch, ACL_STREAM_FAST_LAUNCH);
PIPESERVE_SAME(kStreamFastSync, ACL_STREAM_FAST_SYNC);
PIPESERVE_SAME(kStreamStopOnFailure, ACL_STOP_ON_FAILURE);
