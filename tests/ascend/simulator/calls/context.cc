// Devices and contexts.
#include <utility>

#include "calls.h"
#include "comm.h"
#include "model_file.h"

namespace pipeserve::ascend::sim::calls {
namespace {

std::optional<Failure> CheckDevice(Call& call, int32_t device) {
  if (device >= 0 && static_cast<uint32_t>(device) < call.core.DeviceCount()) return std::nullopt;
  return call.Fail(codes::kNoDevice, Text(call.name(), " of device ", device, ", and there are ",
                                          call.core.DeviceCount()));
}

std::shared_ptr<ContextObject> ContextOf(const std::shared_ptr<Object>& object) {
  switch (object->kind()) {
    case Kind::kStream:
      return std::static_pointer_cast<StreamObject>(object)->context();
    case Kind::kEvent:
      return std::static_pointer_cast<EventObject>(object)->context;
    case Kind::kComm:
      return std::static_pointer_cast<CommObject>(object)->context;
    default:
      return nullptr;
  }
}

// What should have been destroyed before the context.
void ReportRest(Call& call, const std::shared_ptr<ContextObject>& context) {
  for (const auto& [handle, object] : call.core.objects.live()) {
    if (ContextOf(object) != context || !object->counted) continue;
    call.core.Break("P5", Text(call.name(), " while its context still has ", NameOf(object->kind()),
                               " of ", object->origin().Text()));
  }
  for (const auto& [id, model] : call.core.models) {
    if (model->context != context) continue;
    call.core.Break("P5", Text(call.name(), " while its context still has model ", id));
  }
}

void Drop(Call& call, const std::shared_ptr<ContextObject>& context) {
  ReportRest(call, context);
  call.core.objects.Remove(*context);
  if (context->default_stream == nullptr) return;
  const std::shared_ptr<StreamObject> stream = std::move(context->default_stream);
  call.core.objects.Remove(*stream);
  stream->Abandon(call.lock());
}

void ReportDeviceRest(Call& call, int32_t device) {
  for (const auto& [address, block] : call.core.device_memory.blocks()) {
    if (block->device != device) continue;
    call.core.Break("P5", Text("aclrtResetDevice while the device still has ", block->size,
                               " bytes of ", block->origin.Text()));
  }
  for (const auto& [handle, object] : call.core.objects.live()) {
    const auto context = call.core.objects.Find<ContextObject>(handle);
    if (context == nullptr || context->is_default || context->device != device) continue;
    call.core.Break("P5", Text("aclrtResetDevice before aclrtDestroyContext of the context of ",
                               object->origin().Text()));
  }
}

}  // namespace

AclCode aclrtSetDevice(Call& call, int32_t device) {
  if (const auto failure = CheckDevice(call, device)) return *failure;
  Core::Device& state = call.core.devices[device];
  if (++state.set_count == 1) {
    RunCommandsOf(call.core, call.lock(),
                  Text("PIPESERVE_ASCEND_SIM_DEVICE_", call.core.PhysicalDevice(device)));
  }
  if (state.context == nullptr) {
    state.context = std::make_shared<ContextObject>(device, true);
    state.context->counted = false;
    call.core.objects.Add(state.context);
  }
  CurrentThread().context = state.context->handle<void>();
  return AclCode::kSuccess;
}

AclCode aclrtResetDevice(Call& call, int32_t device) {
  if (const auto failure = CheckDevice(call, device)) return *failure;
  Core::Device& state = call.core.devices[device];
  if (state.set_count == 0) {
    return call.Break("C2", codes::kInvalidParameter,
                      Text("aclrtResetDevice of device ", device, ", which is not set"));
  }
  if (--state.set_count > 0) return AclCode::kSuccess;
  ReportDeviceRest(call, device);
  Drop(call, std::exchange(state.context, nullptr));
  return AclCode::kSuccess;
}

AclCode aclrtCreateContext(Call& call, Context** context, int32_t device) {
  if (context == nullptr) {
    return call.Break("C2", codes::kInvalidParameter, "aclrtCreateContext with a null pointer");
  }
  if (const auto failure = CheckDevice(call, device)) return *failure;
  const auto made = std::make_shared<ContextObject>(device, false);
  *context = static_cast<Context*>(call.core.objects.Add(made));
  CurrentThread().context = *context;
  return AclCode::kSuccess;
}

AclCode aclrtDestroyContext(Call& call, Context* handle) {
  const auto context = call.Find<ContextObject>(handle);
  if (context == nullptr) return call.bad_handle();
  if (context->is_default) {
    return call.Break("C2", codes::kInvalidParameter,
                      "aclrtDestroyContext of the context of aclrtSetDevice");
  }
  Drop(call, context);
  return AclCode::kSuccess;
}

AclCode aclrtSetCurrentContext(Call& call, Context* handle) {
  if (call.Find<ContextObject>(handle) == nullptr) return call.bad_handle();
  CurrentThread().context = handle;
  return AclCode::kSuccess;
}

}  // namespace pipeserve::ascend::sim::calls
