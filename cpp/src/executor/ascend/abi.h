// The C interface of Ascend's runtime libraries, as far as it is called: types, constants and, in
// one list, every function. The table of functions, the loader, the simulator's check of what it
// exports and the comparison with published headers are all made from that list.
//
// Written from the tables of the interface's documentation; no header of CANN is used or needed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pipeserve::ascend::abi {

// What the libraries hand out. Only ever pointed to.
struct Context;
struct Stream;
struct Event;
struct Tensor;
struct Scalar;
struct IntArray;
struct OpExecutor;
struct ModelDesc;
struct Dataset;
struct DataBuffer;
struct Comm;

// Results; 0 is success. ACL and HCCL number theirs apart, so they are types apart.
enum class AclCode : int32_t { kSuccess = 0, kRepeatInitialize = 100002, kRepeatFinalize = 100037 };
enum class HcclCode : int32_t { kSuccess = 0 };

enum class AclDataType : int32_t {
  kUndefined = -1,
  kFloat = 0,
  kFloat16 = 1,
  kInt8 = 2,
  kInt32 = 3,
  kUint8 = 4,
  kInt16 = 6,
  kUint16 = 7,
  kUint32 = 8,
  kInt64 = 9,
  kUint64 = 10,
  kDouble = 11,
  kBool = 12,
};
enum class HcclDataType : int32_t {
  kInt8 = 0,
  kInt16 = 1,
  kInt32 = 2,
  kFloat16 = 3,
  kFloat = 4,
  kInt64 = 5,
  kUint64 = 6,
  kUint8 = 7,
  kUint16 = 8,
  kUint32 = 9,
  kDouble = 10,
};
enum class HcclReduceOp : int32_t { kSum = 0 };
enum class Format : int32_t { kNd = 2 };
enum class MemcpyKind : int32_t {
  kHostToHost = 0,
  kHostToDevice = 1,
  kDeviceToHost = 2,
  kDeviceToDevice = 3,
};
enum class MallocPolicy : int32_t { kHugeFirst = 0 };
enum class MemoryAttribute : int32_t { kDdr = 0, kHbm = 1 };
enum class SystemParameter : int32_t { kDeterministic = 0 };

constexpr uint32_t kEventSync = 1;         // A flag of events.
constexpr uint32_t kStreamFastLaunch = 1;  // Flags of streams.
constexpr uint32_t kStreamFastSync = 2;
constexpr uint64_t kStreamStopOnFailure = 1;  // A failure mode of streams.

// How a MatMul computes: `cube_math_type`.
constexpr int8_t kCubeKeepType = 0;
constexpr int8_t kCubeFloat16 = 2;
constexpr int8_t kCubeHf32 = 3;

// The shape of an input or output of a model.
struct ModelDims {
  char name[128];
  size_t count;
  int64_t dims[128];
};
static_assert(sizeof(ModelDims) == 1160);

// What rank 0 tells the others so that they find each other.
struct RootInfo {
  char opaque[4108];
};

}  // namespace pipeserve::ascend::abi

// X(name, since, result, (parameters)): `since` is the minor version of ACL 1 that brought the
// function, 0 when the supported floor, 1.6, has it. One list for each group of functions that lie
// in one library.

// clang-format off
#define PIPESERVE_ASCEND_RUNTIME(X) \
  X(aclInit, 0, AclCode, (const char* config_file)) \
  X(aclFinalize, 0, AclCode, ()) \
  X(aclrtGetVersion, 0, AclCode, (int32_t* major, int32_t* minor, int32_t* patch)) \
  X(aclGetRecentErrMsg, 0, const char*, ()) \
  X(aclrtGetSocName, 0, const char*, ()) \
  X(aclrtGetDeviceCount, 0, AclCode, (uint32_t* count)) \
  X(aclrtSetDevice, 0, AclCode, (int32_t device)) \
  X(aclrtResetDevice, 0, AclCode, (int32_t device)) \
  X(aclrtCreateContext, 0, AclCode, (Context** context, int32_t device)) \
  X(aclrtDestroyContext, 0, AclCode, (Context* context)) \
  X(aclrtSetCurrentContext, 0, AclCode, (Context* context)) \
  X(aclrtCtxSetSysParamOpt, 0, AclCode, (SystemParameter option, int64_t value)) \
  X(aclrtSetOpExecuteTimeOut, 0, AclCode, (uint32_t seconds)) \
  X(aclrtGetMemInfo, 0, AclCode, (MemoryAttribute attribute, size_t* free, size_t* total)) \
  X(aclrtMalloc, 0, AclCode, (void** device, size_t size, MallocPolicy policy)) \
  X(aclrtFree, 0, AclCode, (void* device)) \
  X(aclrtMallocHost, 0, AclCode, (void** host, size_t size)) \
  X(aclrtFreeHost, 0, AclCode, (void* host)) \
  X(aclrtMemcpy, 0, AclCode, \
    (void* to, size_t room, const void* from, size_t count, MemcpyKind kind)) \
  X(aclrtMemcpyAsync, 0, AclCode, \
    (void* to, size_t room, const void* from, size_t count, MemcpyKind kind, Stream* stream)) \
  X(aclrtCreateStreamWithConfig, 0, AclCode, (Stream** stream, uint32_t priority, uint32_t flags)) \
  X(aclrtSetStreamFailureMode, 0, AclCode, (Stream* stream, uint64_t mode)) \
  X(aclrtSynchronizeStreamWithTimeout, 0, AclCode, (Stream* stream, int32_t milliseconds)) \
  X(aclrtDestroyStream, 0, AclCode, (Stream* stream)) \
  X(aclrtStreamWaitEvent, 0, AclCode, (Stream* stream, Event* event)) \
  X(aclrtCreateEventWithFlag, 0, AclCode, (Event** event, uint32_t flags)) \
  X(aclrtCreateEventExWithFlag, 8, AclCode, (Event** event, uint32_t flags)) \
  X(aclrtRecordEvent, 0, AclCode, (Event* event, Stream* stream)) \
  X(aclrtResetEvent, 0, AclCode, (Event* event, Stream* stream)) \
  X(aclrtSynchronizeEventWithTimeout, 0, AclCode, (Event* event, int32_t milliseconds)) \
  X(aclrtDestroyEvent, 0, AclCode, (Event* event)) \
  X(aclsysGetVersionNum, 16, AclCode, (char* package, int32_t* version))

#define PIPESERVE_ASCEND_MODEL(X) \
  X(aclmdlLoadFromFile, 0, AclCode, (const char* path, uint32_t* id)) \
  X(aclmdlUnload, 0, AclCode, (uint32_t id)) \
  X(aclmdlCreateDesc, 0, ModelDesc*, ()) \
  X(aclmdlGetDesc, 0, AclCode, (ModelDesc* desc, uint32_t id)) \
  X(aclmdlDestroyDesc, 0, AclCode, (ModelDesc* desc)) \
  X(aclmdlGetNumInputs, 0, size_t, (ModelDesc* desc)) \
  X(aclmdlGetNumOutputs, 0, size_t, (ModelDesc* desc)) \
  X(aclmdlGetInputSizeByIndex, 0, size_t, (ModelDesc* desc, size_t index)) \
  X(aclmdlGetOutputSizeByIndex, 0, size_t, (ModelDesc* desc, size_t index)) \
  X(aclmdlGetInputDims, 0, AclCode, (const ModelDesc* desc, size_t index, ModelDims* dims)) \
  X(aclmdlGetOutputDims, 0, AclCode, (const ModelDesc* desc, size_t index, ModelDims* dims)) \
  X(aclmdlGetInputDataType, 0, AclDataType, (const ModelDesc* desc, size_t index)) \
  X(aclmdlGetOutputDataType, 0, AclDataType, (const ModelDesc* desc, size_t index)) \
  X(aclmdlGetInputNameByIndex, 0, const char*, (const ModelDesc* desc, size_t index)) \
  X(aclmdlGetOutputNameByIndex, 0, const char*, (const ModelDesc* desc, size_t index)) \
  X(aclmdlCreateDataset, 0, Dataset*, ()) \
  X(aclmdlDestroyDataset, 0, AclCode, (const Dataset* dataset)) \
  X(aclmdlAddDatasetBuffer, 0, AclCode, (Dataset* dataset, DataBuffer* buffer)) \
  X(aclCreateDataBuffer, 0, DataBuffer*, (void* device, size_t size)) \
  X(aclDestroyDataBuffer, 0, AclCode, (const DataBuffer* buffer)) \
  X(aclmdlExecuteAsync, 0, AclCode, \
    (uint32_t id, const Dataset* inputs, Dataset* outputs, Stream* stream))

#define PIPESERVE_ASCEND_META(X) \
  X(aclCreateTensor, 0, Tensor*, \
    (const int64_t* dims, uint64_t dim_count, AclDataType type, const int64_t* strides, \
     int64_t offset, Format format, const int64_t* storage_dims, uint64_t storage_dim_count, \
     void* device)) \
  X(aclDestroyTensor, 0, AclCode, (const Tensor* tensor)) \
  X(aclCreateScalar, 0, Scalar*, (void* value, AclDataType type)) \
  X(aclDestroyScalar, 0, AclCode, (const Scalar* scalar)) \
  X(aclCreateIntArray, 0, IntArray*, (const int64_t* values, uint64_t count)) \
  X(aclDestroyIntArray, 0, AclCode, (const IntArray* array)) \
  X(aclSetAclOpExecutorRepeatable, 10, AclCode, (OpExecutor* executor)) \
  X(aclDestroyAclOpExecutor, 10, AclCode, (OpExecutor* executor))

// Phase 1 of an operator plans it, phase 2 launches what phase 1 planned.
#define PIPESERVE_ASCEND_LAUNCH (void* workspace, uint64_t size, OpExecutor* executor, Stream* stream)

#define PIPESERVE_ASCEND_NN_OPS(X) \
  X(aclnnMatmulGetWorkspaceSize, 0, AclCode, \
    (const Tensor* self, const Tensor* other, Tensor* out, int8_t cube_math_type, \
     uint64_t* size, OpExecutor** executor)) \
  X(aclnnMatmul, 0, AclCode, PIPESERVE_ASCEND_LAUNCH) \
  X(aclnnReluGetWorkspaceSize, 0, AclCode, \
    (const Tensor* self, Tensor* out, uint64_t* size, OpExecutor** executor)) \
  X(aclnnRelu, 0, AclCode, PIPESERVE_ASCEND_LAUNCH)

#define PIPESERVE_ASCEND_MATH_OPS(X) \
  X(aclnnNegGetWorkspaceSize, 0, AclCode, \
    (const Tensor* self, Tensor* out, uint64_t* size, OpExecutor** executor)) \
  X(aclnnNeg, 0, AclCode, PIPESERVE_ASCEND_LAUNCH) \
  X(aclnnMulsGetWorkspaceSize, 0, AclCode, \
    (const Tensor* self, const Scalar* other, Tensor* out, uint64_t* size, \
     OpExecutor** executor)) \
  X(aclnnMuls, 0, AclCode, PIPESERVE_ASCEND_LAUNCH) \
  X(aclnnAddGetWorkspaceSize, 0, AclCode, \
    (const Tensor* self, const Tensor* other, const Scalar* alpha, Tensor* out, uint64_t* size, \
     OpExecutor** executor)) \
  X(aclnnAdd, 0, AclCode, PIPESERVE_ASCEND_LAUNCH) \
  X(aclnnSubGetWorkspaceSize, 0, AclCode, \
    (const Tensor* self, const Tensor* other, const Scalar* alpha, Tensor* out, uint64_t* size, \
     OpExecutor** executor)) \
  X(aclnnSub, 0, AclCode, PIPESERVE_ASCEND_LAUNCH) \
  X(aclnnMulGetWorkspaceSize, 0, AclCode, \
    (const Tensor* self, const Tensor* other, Tensor* out, uint64_t* size, \
     OpExecutor** executor)) \
  X(aclnnMul, 0, AclCode, PIPESERVE_ASCEND_LAUNCH) \
  X(aclnnCastGetWorkspaceSize, 0, AclCode, \
    (const Tensor* self, AclDataType type, Tensor* out, uint64_t* size, OpExecutor** executor)) \
  X(aclnnCast, 0, AclCode, PIPESERVE_ASCEND_LAUNCH) \
  X(aclnnReduceSumGetWorkspaceSize, 0, AclCode, \
    (const Tensor* self, const IntArray* dims, bool keep_dims, AclDataType type, Tensor* out, \
     uint64_t* size, OpExecutor** executor)) \
  X(aclnnReduceSum, 0, AclCode, PIPESERVE_ASCEND_LAUNCH) \
  X(aclnnInplaceCopyGetWorkspaceSize, 0, AclCode, \
    (Tensor* self, const Tensor* from, uint64_t* size, OpExecutor** executor)) \
  X(aclnnInplaceCopy, 0, AclCode, PIPESERVE_ASCEND_LAUNCH)

#define PIPESERVE_ASCEND_COMM(X) \
  X(HcclCommInitClusterInfo, 0, HcclCode, (const char* rank_table, uint32_t rank, Comm** comm)) \
  X(HcclGetRootInfo, 0, HcclCode, (RootInfo* info)) \
  X(HcclCommInitRootInfo, 0, HcclCode, \
    (uint32_t ranks, const RootInfo* info, uint32_t rank, Comm** comm)) \
  X(HcclCommDestroy, 0, HcclCode, (Comm* comm)) \
  X(HcclGetErrorString, 8, const char*, (HcclCode code))

#define PIPESERVE_ASCEND_COLLECTIVES(X) \
  X(HcclAllReduce, 0, HcclCode, \
    (void* send, void* receive, uint64_t count, HcclDataType type, HcclReduceOp op, Comm* comm, \
     Stream* stream)) \
  X(HcclAllGather, 0, HcclCode, \
    (void* send, void* receive, uint64_t send_count, HcclDataType type, Comm* comm, \
     Stream* stream))

#define PIPESERVE_ASCEND_FUNCTIONS(X) \
  PIPESERVE_ASCEND_RUNTIME(X) \
  PIPESERVE_ASCEND_MODEL(X) \
  PIPESERVE_ASCEND_META(X) \
  PIPESERVE_ASCEND_NN_OPS(X) \
  PIPESERVE_ASCEND_MATH_OPS(X) \
  PIPESERVE_ASCEND_COMM(X) \
  PIPESERVE_ASCEND_COLLECTIVES(X)
// clang-format on

namespace pipeserve::ascend::abi {

// Where each function is; null for one that the libraries have not.
struct Functions {
#define PIPESERVE_DECLARE(name, since, result, parameters) result(*name) parameters = nullptr;
  PIPESERVE_ASCEND_FUNCTIONS(PIPESERVE_DECLARE)
#undef PIPESERVE_DECLARE
};

}  // namespace pipeserve::ascend::abi
