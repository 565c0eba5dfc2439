// Communicators.
#include "comm.h"

#include <cstdlib>
#include <cstring>
#include <random>

#include "calls.h"
#include "products.h"
#include "rank_table.h"

namespace pipeserve::ascend::sim::calls {
namespace {

constexpr char kRootInfo[] = "ascend-sim root ";

// What holds for both ways of making one.
std::optional<Failure> CheckPlace(Call& call, uint32_t rank, size_t ranks) {
  if (ranks == 0 || ranks > Meeting::kMostRanks || rank >= ranks) {
    return call.Break("H5", codes::kHcclParameter, Text("rank ", rank, " of ", ranks));
  }
  const Product product = ProductOf(call.core.settings.soc);
  if (product == Product::k310P && call.core.device_memory.live() > 0) {
    call.Break("H5", 0, Text(call.name(), " after device memory was allocated, on 300I Duo"));
  }
  if (product == Product::k910 && ranks != 1 && ranks != 2 && ranks != 4 && ranks != 8) {
    return call.Break("6", codes::kHcclParameter, Text(ranks, " ranks on 910"));
  }
  return std::nullopt;
}

HcclCode Join(Call& call, const std::string& key, uint32_t rank, uint32_t ranks,
              const std::string& rank_table, Comm** handle) {
  const char* const run = std::getenv("PIPESERVE_ASCEND_SIM_RUN");
  const std::chrono::milliseconds limit(call.core.settings.connect_ms);
  const auto comm = std::make_shared<CommObject>();
  comm->context = call.context();
  comm->rank = rank;
  comm->rank_table = rank_table;
  Met met = Met::kAll;
  call.lock().unlock();
  comm->meeting =
      Meeting::Join(Text(key, '\n', run == nullptr ? "" : run), rank, ranks, limit, &met);
  call.lock().lock();
  if (comm->meeting != nullptr) {
    *handle = static_cast<Comm*>(call.core.objects.Add(comm));
    return HcclCode::kSuccess;
  }
  const std::string text = Text(call.name(), " of rank ", rank, ": ", TextOf(met));
  if (met == Met::kMismatch || met == Met::kTaken) {
    return call.Break("H5", codes::kHcclTimeout, text);
  }
  return call.Fail(codes::kHcclTimeout, text);
}

bool IsInUse(const Core& core, const std::string& rank_table) {
  for (const auto& [handle, object] : core.objects.live()) {
    const auto comm = core.objects.Find<CommObject>(handle);
    if (comm != nullptr && comm->rank_table == rank_table) return true;
  }
  return false;
}

}  // namespace

HcclCode HcclCommInitClusterInfo(Call& call, const char* path, uint32_t rank, Comm** comm) {
  if (path == nullptr || comm == nullptr) {
    return call.Break("H5", codes::kHcclParameter, "HcclCommInitClusterInfo with a null pointer");
  }
  const RankTable table = ReadRankTable(path);
  if (!table.readable) return call.Fail(codes::kHcclOpenFile, Text("cannot read ", path));
  for (const std::string& wrong : table.wrong) {
    call.Break("7", codes::kHcclParameter, Text("rank table ", path, ": ", wrong));
  }
  if (!table.wrong.empty()) return Failure{codes::kHcclParameter};
  if (const auto failure = CheckPlace(call, rank, table.devices.size())) return *failure;
  const int device = call.core.PhysicalDevice(call.context()->device);
  if (table.devices[rank] != device) {
    return call.Break("H5", codes::kHcclParameter,
                      Text("rank ", rank, " is on device ", table.devices[rank],
                           " by the rank table, and this process uses ", device));
  }
  if (IsInUse(call.core, table.content)) {
    return call.Break("H5", codes::kHcclParameter, "a second communicator of one rank table");
  }
  return Join(call, table.content, rank, static_cast<uint32_t>(table.devices.size()), table.content,
              comm);
}

HcclCode HcclGetRootInfo(Call& call, RootInfo* info) {
  if (info == nullptr) {
    return call.Break("H5", codes::kHcclParameter, "HcclGetRootInfo with a null pointer");
  }
  std::random_device random;
  std::memset(info, 0, sizeof(*info));
  const std::string text = Text(kRootInfo, random(), ' ', random(), ' ', random());
  text.copy(info->opaque, sizeof(info->opaque) - 1);
  return HcclCode::kSuccess;
}

HcclCode HcclCommInitRootInfo(Call& call, uint32_t ranks, const RootInfo* info, uint32_t rank,
                              Comm** comm) {
  if (info == nullptr || comm == nullptr ||
      std::strncmp(info->opaque, kRootInfo, sizeof(kRootInfo) - 1) != 0) {
    return call.Break("H5", codes::kHcclParameter,
                      "HcclCommInitRootInfo with what HcclGetRootInfo has not made");
  }
  if (const auto failure = CheckPlace(call, rank, ranks)) return *failure;
  return Join(call, info->opaque, rank, ranks, "", comm);
}

HcclCode HcclCommDestroy(Call& call, Comm* handle) {
  const auto comm = call.Find<CommObject>(handle);
  if (comm == nullptr) return call.bad_handle();
  if (comm->last.stream != nullptr &&
      !Covers(call.core.host_clock, comm->last.stream->id(), comm->last.task)) {
    return call.Break("H4", codes::kHcclAgain,
                      "HcclCommDestroy of a communicator with work in flight");
  }
  call.core.objects.Remove(*comm);
  return HcclCode::kSuccess;
}

const char* HcclGetErrorString(Call&, HcclCode code) {
  switch (static_cast<int32_t>(code)) {
    case 0:
      return "no error";
    case codes::kHcclParameter:
      return "parameter error";
    case codes::kHcclInternal:
      return "internal error";
    case codes::kHcclNotSupported:
      return "not supported";
    case codes::kHcclTimeout:
      return "timeout";
    case codes::kHcclOpenFile:
      return "open file failed";
    case codes::kHcclAgain:
      return "try again";
    default:
      return "unknown error";
  }
}

}  // namespace pipeserve::ascend::sim::calls
