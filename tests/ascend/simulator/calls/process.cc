// Init, finalise and what describes the runtime.
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "calls.h"

namespace pipeserve::ascend::sim::calls {

AclCode aclInit(Call& call, const char*) {
  if (call.core.initialised) {
    return call.Break("P1", codes::kRepeatInitialise, "aclInit a second time");
  }
  call.core.initialised = true;
  call.core.finalised = false;
  call.core.process = getpid();
  return AclCode::kSuccess;
}

AclCode aclFinalize(Call& call) {
  Core& core = call.core;
  if (!core.initialised) {
    return call.Break("P2", core.finalised ? codes::kRepeatFinalise : codes::kUninitialised,
                      core.finalised ? "aclFinalize a second time" : "aclFinalize before aclInit");
  }
  if (core.foreign_init) {
    call.Break("P1", codes::kInternal, "aclFinalize of what another library initialised");
  }
  for (const std::string& line : core.Live()) {
    core.Break("P5", Text("still there at aclFinalize: ", line));
  }
  for (const auto& [device, state] : core.devices) {
    if (state.set_count == 0) continue;
    core.Break("C2", Text("at aclFinalize device ", device, " was set ", state.set_count,
                          " times more than reset"));
  }
  core.WriteSummary();
  core.DropAll(call.lock());
  core.initialised = core.foreign_init = false;
  core.finalised = true;
  core.process = 0;
  return AclCode::kSuccess;
}

AclCode aclrtGetVersion(Call& call, int32_t* major, int32_t* minor, int32_t* patch) {
  if (major == nullptr || minor == nullptr || patch == nullptr) {
    return call.Break("5", codes::kInvalidParameter, "aclrtGetVersion with a null pointer");
  }
  *major = 1;
  *minor = 0;  // The library that was called puts in its own.
  *patch = 0;
  return AclCode::kSuccess;
}

// Reading clears it, and only what was read last is valid.
const char* aclGetRecentErrMsg(Call&) {
  ThreadState& thread = CurrentThread();
  if (thread.message.empty()) return nullptr;
  thread.read_message = std::move(thread.message);
  thread.message.clear();
  return thread.read_message.c_str();
}

const char* aclrtGetSocName(Call& call) {
  static std::string name;
  name = call.core.settings.soc;
  return name.c_str();
}

AclCode aclrtGetDeviceCount(Call& call, uint32_t* count) {
  if (count == nullptr) {
    return call.Break("5", codes::kInvalidParameter, "aclrtGetDeviceCount with a null pointer");
  }
  *count = call.core.DeviceCount();
  return AclCode::kSuccess;
}

AclCode aclrtSetOpExecuteTimeOut(Call&, uint32_t) { return AclCode::kSuccess; }

AclCode aclrtCtxSetSysParamOpt(Call& call, SystemParameter option, int64_t value) {
  if (option != SystemParameter::kDeterministic || (value != 0 && value != 1)) {
    return call.Break(
        "5", codes::kInvalidParameter,
        Text("aclrtCtxSetSysParamOpt of option ", static_cast<int>(option), " to ", value));
  }
  return AclCode::kSuccess;
}

AclCode aclsysGetVersionNum(Call& call, char* package, int32_t* version) {
  if (package == nullptr || version == nullptr) {
    return call.Break("5", codes::kInvalidParameter, "aclsysGetVersionNum with a null pointer");
  }
  *version = 8 * 10'000'000 + 5 * 100'000;  // 8.5.0
  return AclCode::kSuccess;
}

}  // namespace pipeserve::ascend::sim::calls
