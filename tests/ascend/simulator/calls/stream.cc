// Streams.
#include "calls.h"

namespace pipeserve::ascend::sim::calls {
namespace {

bool IsDrained(const Core& core, const StreamObject& stream) {
  return Covers(core.host_clock, stream.id(), stream.enqueued());
}

}  // namespace

AclCode aclrtCreateStreamWithConfig(Call& call, Stream** handle, uint32_t priority,
                                    uint32_t flags) {
  if (handle == nullptr || priority > 7 || (flags & ~(kStreamFastLaunch | kStreamFastSync)) != 0) {
    return call.Break(
        "S4", codes::kInvalidParameter,
        Text("aclrtCreateStreamWithConfig with priority ", priority, ", flags ", flags));
  }
  const auto stream =
      std::make_shared<StreamObject>(call.core, call.context(), call.core.next_stream++);
  *handle = static_cast<Stream*>(call.core.objects.Add(stream));
  stream->Start();
  return AclCode::kSuccess;
}

AclCode aclrtSetStreamFailureMode(Call& call, Stream* handle, uint64_t mode) {
  const auto stream = call.FindStream(handle);
  if (stream == nullptr) return call.bad_handle();
  if (mode > kStreamStopOnFailure) {
    return call.Break("S2", codes::kInvalidParameter, Text("no failure mode ", mode));
  }
  if (stream->enqueued() > 0) {
    call.Break("S2", 0, "aclrtSetStreamFailureMode after the stream was used");
  }
  stream->stop_on_failure = mode == kStreamStopOnFailure;
  return AclCode::kSuccess;
}

AclCode aclrtSynchronizeStreamWithTimeout(Call& call, Stream* handle, int32_t milliseconds) {
  if (milliseconds == 0 || milliseconds < -1) {
    return call.Break("S3", codes::kInvalidParameter,
                      Text("a wait for ", milliseconds, " ms: it takes -1 or more than 0"));
  }
  const auto stream = call.FindStream(handle);
  if (stream == nullptr) return call.bad_handle();
  const Clock reached = stream->clock();
  if (!stream->Await(call.lock(), stream->enqueued(), milliseconds)) {
    return call.Fail(codes::kStreamTimeout,
                     Text("the stream has work after ", milliseconds, " ms"));
  }
  call.core.HostReaches(reached);
  std::string text;
  if (const int32_t failure = stream->TakeFailure(&text)) return call.Fail(failure, text);
  return AclCode::kSuccess;
}

AclCode aclrtDestroyStream(Call& call, Stream* handle) {
  if (handle == nullptr) {
    return call.Break("S4", codes::kInvalidHandle, "aclrtDestroyStream of the default stream");
  }
  const auto stream = call.FindStream(handle);
  if (stream == nullptr) return call.bad_handle();
  if (!IsDrained(call.core, *stream)) {
    call.Break("S4", 0, "aclrtDestroyStream of a stream that the host has not waited for");
  }
  call.core.objects.Remove(*stream);
  stream->Abandon(call.lock());
  return AclCode::kSuccess;
}

}  // namespace pipeserve::ascend::sim::calls
