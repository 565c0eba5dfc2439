// Copies there and back again.
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "base/str_cat.h"
#include "checks.h"
#include "process.h"

namespace pipeserve::ascend::check {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

void FillWithNumbers(std::byte* data, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(i * 2654435761u >> 13);
}

double Rate(size_t bytes, double milliseconds) {
  return static_cast<double>(bytes) / milliseconds / 1e6;  // GB/s.
}

// The two ways of one kind of memory: each is through when it returns.
struct Ways {
  std::function<Status(std::byte* to, const std::byte* from, size_t bytes)> to_device;
  std::function<Status(std::byte* to, const std::byte* from, size_t bytes)> to_host;
};

Ways PinnedWays(Session& session) {
  return {[&session](std::byte* to, const std::byte* from, size_t bytes) -> Status {
            PIPESERVE_RETURN_IF_ERROR(session.stream().CopyToDevice(to, from, bytes));
            return session.Synchronize();
          },
          [&session](std::byte* to, const std::byte* from, size_t bytes) -> Status {
            PIPESERVE_RETURN_IF_ERROR(session.stream().CopyToHost(to, from, bytes));
            return session.Synchronize();
          }};
}

// Copies that block are all that pageable memory has.
Ways PageableWays(Session& session) {
  const auto copy = [&session](abi::MemcpyKind kind) {
    return [&session, kind](std::byte* to, const std::byte* from, size_t bytes) {
      return PIPESERVE_ACL(session.device(), aclrtMemcpy, to, bytes, from, bytes, kind);
    };
  };
  return {copy(abi::MemcpyKind::kHostToDevice), copy(abi::MemcpyKind::kDeviceToHost)};
}

Status CopyBoth(const Ways& ways, std::byte* from, std::byte* there, std::byte* back, size_t bytes,
                Json& rates) {
  FillWithNumbers(from, bytes);
  std::memset(back, 0, bytes);
  const Stopwatch to_device;
  PIPESERVE_RETURN_IF_ERROR(ways.to_device(there, from, bytes));
  rates["to_device_gb_per_s"] = Rate(bytes, to_device.milliseconds());
  const Stopwatch to_host;
  PIPESERVE_RETURN_IF_ERROR(ways.to_host(back, there, bytes));
  rates["to_host_gb_per_s"] = Rate(bytes, to_host.milliseconds());
  size_t first = 0;
  while (first < bytes && from[first] == back[first]) ++first;
  if (first == bytes) return OkStatus();
  return Internal(StrCat("of ", bytes, " bytes number ", first, " came back changed"));
}

// One size, in both kinds of memory.
Status CopySize(Session& session, size_t bytes, Json& rates) {
  Device& device = session.device();
  PIPESERVE_ASSIGN_OR_RETURN(const DeviceBlock there, DeviceBlock::Allocate(device, bytes));
  {
    PIPESERVE_ASSIGN_OR_RETURN(const PinnedBlock from, PinnedBlock::Allocate(device, bytes));
    PIPESERVE_ASSIGN_OR_RETURN(const PinnedBlock back, PinnedBlock::Allocate(device, bytes));
    const Drain drain(session);
    const Status status = CopyBoth(PinnedWays(session), from.data(), there.data(), back.data(),
                                   bytes, rates["pinned"]);
    if (!status.ok()) return status.WithContext("pinned memory");
  }
  std::vector<std::byte> from(bytes), back(bytes);
  return CopyBoth(PageableWays(session), from.data(), there.data(), back.data(), bytes,
                  rates["pageable"])
      .WithContext("pageable memory");
}

}  // namespace

Status CheckCopies(Session& session, Json& found) {
  const size_t most = session.Size(256 * kMiB, kMiB);
  found["sizes"] = Json::array();
  for (const size_t bytes : {size_t{1}, size_t{31}, size_t{4096}, 48 * size_t{1024}, kMiB,
                             16 * kMiB, 64 * kMiB, 256 * kMiB}) {
    if (bytes > most) break;
    SayProgress(StrCat(bytes, " bytes"));
    Json rates = {{"bytes", bytes}};
    const Status status = CopySize(session, bytes, rates);
    found["sizes"].push_back(std::move(rates));
    PIPESERVE_RETURN_IF_ERROR(status);
  }
  return OkStatus();
}

}  // namespace pipeserve::ascend::check
