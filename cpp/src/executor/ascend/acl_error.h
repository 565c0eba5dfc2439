// What a failed call of the runtime means: its Status, and what it says of the device.
#pragma once

#include <string_view>

#include "executor/ascend/abi.h"
#include "pipeserve/status.h"

namespace pipeserve::ascend {

// Of a device. Nothing but a new process leads back to kHealthy.
enum class Health {
  kHealthy,
  kSuspect,  // Work may still run that nobody waits for.
  kDead,
};

// The worse of two.
inline Health Worse(Health a, Health b) { return a < b ? b : a; }

// What a result says of the device.
Health HealthAfter(abi::AclCode code);
Health HealthAfter(abi::HcclCode code);

// Whether a wait has ended before what it waited for.
bool IsTimeOut(abi::AclCode code);

// "aclrtMalloc failed with 207001 (out of memory): <what the runtime says>". `recent` is what
// aclGetRecentErrMsg() returned right after the call, on the same thread; it may be null.
Status AclError(std::string_view function, abi::AclCode code, const char* recent);
Status HcclError(std::string_view function, abi::HcclCode code, const char* recent);

}  // namespace pipeserve::ascend
