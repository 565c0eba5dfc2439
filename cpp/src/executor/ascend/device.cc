#include "executor/ascend/device.h"

#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>

#include "base/str_cat.h"

namespace pipeserve::ascend {
namespace {

constexpr int32_t kOldestMinor = 6;  // Of ACL 1: the first with operators of two phases.

}  // namespace

Result<int32_t> LogicalDevice(int id, const char* visible) {
  if (visible == nullptr || *visible == '\0') return id;
  std::istringstream list(visible);
  int32_t place = 0;
  for (std::string item; std::getline(list, item, ','); ++place) {
    if (item == std::to_string(id)) return place;
  }
  return FailedPrecondition(
      StrCat("device ", id, " is none of ASCEND_RT_VISIBLE_DEVICES=", visible));
}

Result<std::unique_ptr<Device>> Device::Open(std::shared_ptr<const Library> library,
                                             const DeviceOptions& options) {
  std::unique_ptr<Device> device(new Device(std::move(library)));
  const Status status = device->Start(options);
  if (status.ok()) return device;
  (void)device->Close();  // What failed first is told.
  return status;
}

Status Device::Start(const DeviceOptions& options) {
  PIPESERVE_RETURN_IF_ERROR(Initialize());
  return Take(options);
}

Status Device::Initialize() {
  const abi::AclCode code = acl().aclInit(nullptr);
  if (code != abi::AclCode::kRepeatInitialize) {  // Then another library did it, and will end it.
    PIPESERVE_RETURN_IF_ERROR(Check("aclInit", code));
    initialized_ = true;
  }
  PIPESERVE_RETURN_IF_ERROR(
      PIPESERVE_ACL(*this, aclrtGetVersion, &version_.major, &version_.minor, &version_.patch));
  if (version_.major == 1 && version_.minor < kOldestMinor) {
    return FailedPrecondition(StrCat("Ascend's runtime is ACL ", version_.major, ".",
                                     version_.minor, ", wanted is 1.", kOldestMinor, " or newer"));
  }
  return OkStatus();
}

Status Device::Take(const DeviceOptions& options) {
  uint32_t count = 0;
  PIPESERVE_RETURN_IF_ERROR(PIPESERVE_ACL(*this, aclrtGetDeviceCount, &count));
  PIPESERVE_ASSIGN_OR_RETURN(const int32_t id,
                             LogicalDevice(options.id, std::getenv("ASCEND_RT_VISIBLE_DEVICES")));
  if (id < 0 || static_cast<uint32_t>(id) >= count) {
    return FailedPrecondition(
        StrCat("there is no device ", options.id, ", this process sees ", count));
  }
  PIPESERVE_RETURN_IF_ERROR(PIPESERVE_ACL(*this, aclrtSetDevice, id));
  taken_ = id;
  const char* const soc = acl().aclrtGetSocName();
  product_ = Product(soc == nullptr ? "a device without a name" : soc);
  PIPESERVE_RETURN_IF_ERROR(PIPESERVE_ACL(*this, aclrtCreateContext, &context_, id));
  PIPESERVE_RETURN_IF_ERROR(PIPESERVE_ACL(*this, aclrtSetCurrentContext, context_));
  if (!options.deterministic) return OkStatus();
  return PIPESERVE_ACL(*this, aclrtCtxSetSysParamOpt, abi::SystemParameter::kDeterministic, 1);
}

Status Device::Close() {
  if (is_abandoned()) return OkStatus();
  Status first;
  const auto note = [&first](Status status) {
    if (first.ok()) first = std::move(status);
  };
  if (context_ != nullptr) {
    note(PIPESERVE_ACL(*this, aclrtDestroyContext, std::exchange(context_, nullptr)));
  }
  if (taken_ >= 0) note(PIPESERVE_ACL(*this, aclrtResetDevice, std::exchange(taken_, -1)));
  if (std::exchange(initialized_, false)) note(PIPESERVE_ACL(*this, aclFinalize));
  return first;
}

Status Device::LetWait() const {
  const abi::AclCode code = acl().aclrtSetCurrentContext(context_);
  if (code == abi::AclCode::kSuccess) return OkStatus();
  return AclError("aclrtSetCurrentContext", code, acl().aclGetRecentErrMsg());
}

Status Device::Note(Health health, Status error) {
  if (health_ == Health::kHealthy && health != Health::kHealthy) lost_by_ = error;
  health_ = Worse(health_, health);
  return error;
}

Status Device::Check(const char* function, abi::AclCode code) {
  if (code == abi::AclCode::kSuccess) return OkStatus();
  return Note(HealthAfter(code), AclError(function, code, acl().aclGetRecentErrMsg()));
}

Status Device::Check(const char* function, abi::HcclCode code) {
  if (code == abi::HcclCode::kSuccess) return OkStatus();
  return Note(HealthAfter(code), HcclError(function, code, acl().aclGetRecentErrMsg()));
}

}  // namespace pipeserve::ascend
