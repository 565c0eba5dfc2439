// The process of one rank of the collectives.
#include "collectives_rank.h"

#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/str_cat.h"
#include "checks.h"
#include "executor/ascend/collectives.h"
#include "process.h"

namespace pipeserve::ascend::check {
namespace {

std::string ToHex(const abi::RootInfo& info) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char each : info.opaque) {
    const auto byte = static_cast<uint8_t>(each);
    hex += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return hex;
}

Result<abi::RootInfo> FromHex(const std::string& hex) {
  abi::RootInfo info = {};
  if (hex.size() != 2 * sizeof(info.opaque)) return DataLoss("no root info came");
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (size_t i = 0; i < sizeof(info.opaque); ++i) {
    info.opaque[i] = static_cast<char>(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
  }
  return info;
}

// What rank `rank` brings: of sizes so far apart that sums depend on their order.
float PartOf(uint32_t rank, size_t index) {
  const float scale = std::ldexp(1.0F, static_cast<int>(rank * 7 % 24));
  return (static_cast<float>(index % 997) / 997 - 0.5F) * scale +
         1.0F / static_cast<float>(rank + 3);
}
float WholePartOf(uint32_t rank, size_t index) { return static_cast<float>(rank + index % 100); }

uint64_t Digest(const std::vector<float>& values) {
  uint64_t sum = 0xcbf29ce484222325;
  for (const float value : values) sum = (sum ^ std::bit_cast<uint32_t>(value)) * 0x100000001b3;
  return sum;
}

class Rank {
 public:
  Rank(Session& session, const RankRole& role) : session_(session), role_(role) {}

  // Before anything takes memory of the device: on 300I Duo it must be so.
  Status Join(Json& found) {
    PIPESERVE_ASSIGN_OR_RETURN(const abi::RootInfo info, AgreeOnRoot());
    const Stopwatch watch;
    PIPESERVE_ASSIGN_OR_RETURN(group_,
                               HcclGroup::Join(session_.device(), info, role_.ranks, role_.rank));
    found["creation_ms"] = watch.milliseconds();
    return OkStatus();
  }

  Status Check(Json& found) {
    PIPESERVE_RETURN_IF_ERROR(CheckCounts(found));
    return CheckOrder(found);
  }

  // A collective that the last rank does not come to, because it is killed meanwhile.
  Status AwaitLost(Json& found) {
    PIPESERVE_ASSIGN_OR_RETURN(const DeviceBlock block, session_.Upload({{1.0F}}));
    PIPESERVE_RETURN_IF_ERROR(Enqueue(block, 1));
    Say({{"waiting", true}});
    const Stopwatch watch;
    const int32_t limit = session_.Size(60'000, 5'000);
    // Not through Stream, which takes some codes for a reason to wait on.
    const abi::AclCode code = session_.device().acl().aclrtSynchronizeStreamWithTimeout(
        session_.stream().handle(), limit);
    found["after_ms"] = watch.milliseconds();
    found["code"] = static_cast<int32_t>(code);
    session_.device().Abandon();
    if (code != abi::AclCode::kSuccess) return OkStatus();
    return Internal("a collective without one of its ranks ended as if all had come");
  }

  void Leave() { group_ = HcclGroup(); }

 private:
  Result<abi::RootInfo> AgreeOnRoot() {
    if (role_.rank == 0) {
      PIPESERVE_ASSIGN_OR_RETURN(const abi::RootInfo info,
                                 HcclGroup::MakeRootInfo(session_.device()));
      Say({{"root", ToHex(info)}});
      return info;
    }
    const std::optional<Json> message = Listen();
    return FromHex(message.has_value() ? message->value("root", "") : "");
  }

  Status Enqueue(const DeviceBlock& block, size_t count) {
    return PIPESERVE_ACL(session_.device(), HcclAllReduce, block.data(), block.data(), count,
                         abi::HcclDataType::kFloat, abi::HcclReduceOp::kSum, group_.get(),
                         session_.stream().handle());
  }

  // The sum, in place, of what `part` says that ranks bring.
  Result<std::vector<float>> Sum(size_t count, float (*part)(uint32_t, size_t), double* time) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = part(role_.rank, i);
    PIPESERVE_ASSIGN_OR_RETURN(const DeviceBlock block, session_.Upload(values));
    const Drain drain(session_);
    const Stopwatch watch;
    PIPESERVE_RETURN_IF_ERROR(Enqueue(block, count));
    PIPESERVE_RETURN_IF_ERROR(session_.Synchronize());
    *time = watch.milliseconds();
    return session_.Download(block, count);
  }

  // Of whole numbers, which are exact in any order.
  Status CheckCounts(Json& found) {
    found["counts"] = Json::array();
    for (const size_t count :
         {size_t{1}, size_t{2}, size_t{3}, size_t{7}, size_t{8}, size_t{9}, size_t{31},
          size_t{2048}, session_.Size(size_t{16} << 20, size_t{100'003})}) {
      double time = 0;
      PIPESERVE_ASSIGN_OR_RETURN(const std::vector<float> sums, Sum(count, WholePartOf, &time));
      found["counts"].push_back({{"count", count}, {"ms", time}});
      for (size_t i = 0; i < count; ++i) {
        float wanted = 0;
        for (uint32_t rank = 0; rank < role_.ranks; ++rank) wanted += WholePartOf(rank, i);
        if (sums[i] == wanted) continue;
        return Internal(StrCat("AllReduce of ", count, " numbers: number ", i, " is ", sums[i],
                               ", wanted was ", wanted));
      }
    }
    return OkStatus();
  }

  std::vector<float> SumInOrder(size_t count, const std::function<uint32_t(uint32_t)>& nth) const {
    std::vector<float> sums(count);
    for (size_t i = 0; i < count; ++i) {
      sums[i] = PartOf(nth(0), i);
      for (uint32_t each = 1; each < role_.ranks; ++each) sums[i] += PartOf(nth(each), i);
    }
    return sums;
  }

  // Which order the bits of the sums tell of, and whether they come again.
  Status CheckOrder(Json& found) {
    constexpr size_t kCount = 4096;
    double time = 0;
    PIPESERVE_ASSIGN_OR_RETURN(const std::vector<float> sums, Sum(kCount, PartOf, &time));
    PIPESERVE_ASSIGN_OR_RETURN(const std::vector<float> again, Sum(kCount, PartOf, &time));
    const auto forward = SumInOrder(kCount, [](uint32_t each) { return each; });
    const auto backward =
        SumInOrder(kCount, [this](uint32_t each) { return role_.ranks - 1 - each; });
    const bool is_forward = sums == forward, is_backward = sums == backward;
    found["order"] = is_forward && is_backward ? "cannot be told from the bits"
                     : is_forward              ? "first rank to last"
                     : is_backward             ? "last rank to first"
                                               : "another";
    found["repeats_bits"] = sums == again;
    found["digest"] = Digest(sums);
    return CheckClose(sums);
  }

  // As close as any order of float32 gets.
  Status CheckClose(const std::vector<float>& sums) const {
    for (size_t i = 0; i < sums.size(); ++i) {
      double wanted = 0, size = 0;
      for (uint32_t rank = 0; rank < role_.ranks; ++rank) {
        wanted += PartOf(rank, i);
        size += std::abs(PartOf(rank, i));
      }
      if (std::abs(sums[i] - wanted) <= size * role_.ranks * 1e-7) continue;
      return Internal(StrCat("a sum is ", sums[i], ", wanted was ", wanted));
    }
    return OkStatus();
  }

  Session& session_;
  const RankRole role_;
  HcclGroup group_;
};

// As the last rank: until the kill comes.
[[noreturn]] void AwaitKill() {
  Say({{"waiting", true}});
  (void)Listen();
  _exit(EXIT_FAILURE);  // Whoever was to kill it has ended.
}

Status RunSums(Rank& rank, Json& found) {
  PIPESERVE_RETURN_IF_ERROR(rank.Join(found));
  return rank.Check(found);
}

}  // namespace

std::string RankRole::ToString() const {
  return StrCat("rank ", rank, " ", ranks, " ", last_is_killed ? 1 : 0);
}

Result<RankRole> RankRole::Parse(std::string_view text) {
  RankRole role;
  int killed = 0;
  if (std::sscanf(std::string(text).c_str(), "rank %u %u %d", &role.rank, &role.ranks, &killed) ==
      3) {
    role.last_is_killed = killed != 0;
    return role;
  }
  return InvalidArgument(StrCat("--role is ", text));
}

int RunRank(const Options& options) {
  const Result<RankRole> role = RankRole::Parse(options.role);
  if (!role.ok()) return EXIT_FAILURE;
  Options own = options;
  own.library.collectives = true;
  own.device.id += static_cast<int>(role->rank);
  Json found = Json::object();
  const auto session = Session::Open(own);
  if (!session.ok()) {
    Say({{"sums", Failed(session.status())}});
    return EXIT_SUCCESS;
  }
  Say({{"ready", true}});
  Rank rank(**session, *role);
  const Status status = RunSums(rank, found);
  Say({{"sums", check::PartOf(status, std::move(found))}});
  if (!status.ok()) _exit(EXIT_SUCCESS);  // The others may be in what this rank has left.
  if (role->last_is_killed) {
    if (role->rank + 1 == role->ranks) AwaitKill();
    Json end = Json::object();
    const Status ended = rank.AwaitLost(end);
    Say({{"end", check::PartOf(ended, std::move(end))}});
    _exit(EXIT_SUCCESS);
  }
  rank.Leave();
  const Status closed = (*session)->Close();
  Say({{"closed", check::PartOf(closed, Json::object())}});
  return EXIT_SUCCESS;
}

}  // namespace pipeserve::ascend::check
