// Copies between host and device.
#include <cstring>

#include "calls.h"
#include "memory_check.h"

namespace pipeserve::ascend::sim::calls {
namespace {

constexpr int kPoison = 0xA5;

// One end of a copy.
struct End {
  std::shared_ptr<Block> block;  // Null for pageable memory.
  const void* address;
  bool on_device;
  Use use;
};

struct Copy {
  End to;
  End from;
  size_t count;
};

bool ToDevice(MemcpyKind kind) {
  return kind == MemcpyKind::kHostToDevice || kind == MemcpyKind::kDeviceToDevice;
}
bool FromDevice(MemcpyKind kind) {
  return kind == MemcpyKind::kDeviceToHost || kind == MemcpyKind::kDeviceToDevice;
}

bool FindEnd(Call& call, const char* what, size_t size, End& end) {
  if (!end.on_device) return CheckHostMemory(call, what, end.address, size, &end.block);
  end.block = FindDeviceMemory(call, "M4", what, end.address, size);
  return end.block != nullptr;
}

std::optional<Failure> Check(Call& call, size_t room, MemcpyKind kind, Copy& copy) {
  if (static_cast<int>(kind) < 0 || static_cast<int>(kind) > 3) {
    return call.Break("M4", codes::kInvalidParameter, Text(call.name(), " of no known kind"));
  }
  if (copy.count > room) {
    return call.Break("M7", codes::kParameter,
                      Text(call.name(), " of ", copy.count, " bytes into room for ", room));
  }
  copy.to.on_device = ToDevice(kind);
  copy.from.on_device = FromDevice(kind);
  if (copy.count == 0) return std::nullopt;
  if (!FindEnd(call, "the target", room, copy.to) ||
      !FindEnd(call, "the source", copy.count, copy.from)) {
    return Failure{codes::kInvalidParameter};
  }
  ++call.core.copies.at(static_cast<size_t>(kind));
  return std::nullopt;
}

std::byte* Data(Core& core, const End& end) {
  if (end.on_device) return core.device_memory.View(end.address);
  return static_cast<std::byte*>(const_cast<void*>(end.address));
}

void Run(Core& core, const Copy& copy, const char* function, const Origin& origin) {
  if (copy.from.on_device) {
    CheckWritten(core, function, copy.from.address, copy.count, origin);
  }
  std::memmove(Data(core, copy.to), Data(core, copy.from), copy.count);
  if (copy.to.on_device) core.device_memory.MarkWritten(copy.to.address, copy.count);
}

// A synchronous copy does not wait for streams.
void RunAtOnce(Call& call, const Copy& copy) {
  for (const End* end : {&copy.to, &copy.from}) {
    if (end->block == nullptr) continue;
    CheckUnused(call, end->on_device ? "M7" : "M6", *end->block, end->address, copy.count,
                end->use);
  }
  Run(call.core, copy, call.name(), Origin::Here());
}

uint64_t Checksum(const std::byte* data, size_t size) {
  uint64_t sum = 0xcbf29ce484222325;
  for (size_t i = 0; i < size; ++i) sum = (sum ^ static_cast<uint64_t>(data[i])) * 0x100000001b3;
  return sum;
}

// The task of an asynchronous copy. The host's end must stay as it is until then: a source with
// what is to be copied, a target with the poison that makes reading it early come to light.
Task MakeTask(Call& call, const Copy& copy) {
  Task task;
  task.function = call.name();
  for (const End* end : {&copy.to, &copy.from}) {
    task.ranges.push_back(
        {end->block, static_cast<const std::byte*>(end->address), copy.count, end->use});
  }
  const End* const host = !copy.to.on_device     ? &copy.to
                          : !copy.from.on_device ? &copy.from
                                                 : nullptr;
  if (host == &copy.to) std::memset(Data(call.core, copy.to), kPoison, copy.count);
  const uint64_t sum = host == nullptr ? 0 : Checksum(Data(call.core, *host), copy.count);
  task.run = [&core = call.core, copy, sum, name = call.name(), origin = task.origin,
              has_host = host != nullptr](Lock&) {
    const End& end = copy.to.on_device ? copy.from : copy.to;
    if (has_host && Checksum(Data(core, end), copy.count) != sum) {
      core.Break("M6", Text("the host changed the ", copy.to.on_device ? "source" : "target",
                            " of ", name, " before the copy ran; called by ", origin.Text()));
    }
    Run(core, copy, name, origin);
    return 0;
  };
  return task;
}

bool IsPageable(const End& end) { return !end.on_device && end.block == nullptr; }

}  // namespace

AclCode aclrtMemcpy(Call& call, void* to, size_t room, const void* from, size_t count,
                    MemcpyKind kind) {
  Copy copy = {{nullptr, to, false, Use::kWrite}, {nullptr, from, false, Use::kRead}, count};
  if (const auto failure = Check(call, room, kind, copy)) return *failure;
  if (count > 0) RunAtOnce(call, copy);
  return AclCode::kSuccess;
}

AclCode aclrtMemcpyAsync(Call& call, void* to, size_t room, const void* from, size_t count,
                         MemcpyKind kind, Stream* handle) {
  const std::shared_ptr<StreamObject> stream = call.FindStream(handle);
  if (stream == nullptr) return call.bad_handle();
  if (kind == MemcpyKind::kHostToHost) {
    return call.Break("M5", codes::kNotSupported, "aclrtMemcpyAsync from host to host");
  }
  Copy copy = {{nullptr, to, false, Use::kWrite}, {nullptr, from, false, Use::kRead}, count};
  if (const auto failure = Check(call, room, kind, copy)) return *failure;
  if (count == 0) return AclCode::kSuccess;
  if (!IsPageable(copy.to) && !IsPageable(copy.from)) {
    stream->Enqueue(MakeTask(call, copy));
    return AclCode::kSuccess;
  }
  call.Break("M5", 0, "aclrtMemcpyAsync with pageable memory, which blocks");
  stream->Await(call.lock(), stream->enqueued(), -1);
  call.core.HostReaches(stream->clock());
  RunAtOnce(call, copy);
  return AclCode::kSuccess;
}

}  // namespace pipeserve::ascend::sim::calls
