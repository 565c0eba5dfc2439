#include "executor/ascend/stream.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "base/clock.h"
#include "base/str_cat.h"

namespace pipeserve::ascend {
namespace {

constexpr std::chrono::milliseconds kLook{50};

// Shorter launches for memory, and a wait that polls.
constexpr uint32_t kFlags = abi::kStreamFastLaunch | abi::kStreamFastSync;

// The runtime takes 0 for a mistake.
int32_t ToLimit(std::chrono::milliseconds limit) {
  return static_cast<int32_t>(
      std::clamp<int64_t>(limit.count(), 1, std::numeric_limits<int32_t>::max()));
}

constexpr char kGroupEnded[] = "the group of ranks has ended while this one waited for others";

}  // namespace

Result<Event> Event::Create(Device& device) {
  if (device.acl().aclrtCreateEventExWithFlag == nullptr) {
    const Device::Version version = device.version();
    return FailedPrecondition(StrCat("copies overlap with computing from ACL 1.8 on, this is ",
                                     version.major, ".", version.minor));
  }
  Event event;
  PIPESERVE_RETURN_IF_ERROR(
      PIPESERVE_ACL(device, aclrtCreateEventExWithFlag, &event.handle_, abi::kEventSync));
  event.device_ = &device;
  return event;
}

Event& Event::operator=(Event&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(handle_, other.handle_);
  return *this;
}

Event::~Event() {
  if (handle_ == nullptr || device_->is_abandoned()) return;
  (void)PIPESERVE_ACL(*device_, aclrtDestroyEvent, handle_);
}

Event::Waited Event::Wait(const WaitFor& wait) const {
  const abi::Functions& acl = device_->acl();
  const Deadline deadline = Deadline::After(wait.limit);
  while (true) {
    const abi::AclCode code = acl.aclrtSynchronizeEventWithTimeout(handle_, ToLimit(kLook));
    if (code == abi::AclCode::kSuccess) return {};
    if (!IsTimeOut(code) || deadline.HasPassed()) {
      return {AclError("aclrtSynchronizeEventWithTimeout", code, acl.aclGetRecentErrMsg()),
              HealthAfter(code)};
    }
    if (wait.given_up == nullptr || !wait.given_up->raised()) continue;
    return {Unavailable(kGroupEnded), Health::kSuspect};
  }
}

Result<Stream> Stream::Create(Device& device) {
  Stream stream;
  PIPESERVE_RETURN_IF_ERROR(
      PIPESERVE_ACL(device, aclrtCreateStreamWithConfig, &stream.handle_, 0, kFlags));
  stream.device_ = &device;
  PIPESERVE_RETURN_IF_ERROR(
      PIPESERVE_ACL(device, aclrtSetStreamFailureMode, stream.handle_, abi::kStreamStopOnFailure));
  return stream;
}

Stream::Stream(Stream&& other) noexcept { *this = std::move(other); }

Stream& Stream::operator=(Stream&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(handle_, other.handle_);
  return *this;
}

// Whoever waited for nothing must not destroy it: a stream ends when it is through.
Stream::~Stream() {
  if (handle_ == nullptr || device_->is_abandoned()) return;
  (void)PIPESERVE_ACL(*device_, aclrtDestroyStream, handle_);
}

// In short waits, because nothing wakes one of the runtime's when a peer is gone.
Status Stream::Synchronize(const WaitFor& wait) {
  if (handle_ == nullptr) return OkStatus();
  const Deadline deadline = Deadline::After(wait.limit);
  while (true) {
    const abi::AclCode code =
        device_->acl().aclrtSynchronizeStreamWithTimeout(handle_, ToLimit(kLook));
    if (!IsTimeOut(code) || deadline.HasPassed()) {
      return device_->Check("aclrtSynchronizeStreamWithTimeout", code);
    }
    if (wait.given_up == nullptr || !wait.given_up->raised()) continue;
    return device_->Suspect(Unavailable(kGroupEnded));
  }
}

Status Stream::CopyToDevice(std::byte* to, const std::byte* from, size_t bytes) {
  return PIPESERVE_ACL(*device_, aclrtMemcpyAsync, to, bytes, from, bytes,
                       abi::MemcpyKind::kHostToDevice, handle_);
}

Status Stream::CopyOnDevice(std::byte* to, const std::byte* from, size_t bytes) {
  return PIPESERVE_ACL(*device_, aclrtMemcpyAsync, to, bytes, from, bytes,
                       abi::MemcpyKind::kDeviceToDevice, handle_);
}

Status Stream::Record(const Event& event) {
  return PIPESERVE_ACL(*device_, aclrtRecordEvent, event.handle(), handle_);
}

Status Stream::BeginAfter(const Event& event) {
  return PIPESERVE_ACL(*device_, aclrtStreamWaitEvent, handle_, event.handle());
}

Status Stream::CopyToHost(std::byte* to, const std::byte* from, size_t bytes) {
  return PIPESERVE_ACL(*device_, aclrtMemcpyAsync, to, bytes, from, bytes,
                       abi::MemcpyKind::kDeviceToHost, handle_);
}

}  // namespace pipeserve::ascend
