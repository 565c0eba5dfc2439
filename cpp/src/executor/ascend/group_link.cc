#include "executor/ascend/group_link.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "base/str_cat.h"

namespace pipeserve::ascend {
namespace {

struct Membership {
  uint32_t size = 0;
  uint32_t index = 0;
};

Result<Membership> FindMembership(const Communicator& link, std::span<const int32_t> ranks) {
  if (ranks.empty()) {
    return Membership{static_cast<uint32_t>(link.size()), static_cast<uint32_t>(link.rank())};
  }
  const auto found = std::find(ranks.begin(), ranks.end(), link.rank());
  if (found != ranks.end()) {
    return Membership{static_cast<uint32_t>(ranks.size()),
                      static_cast<uint32_t>(found - ranks.begin())};
  }
  return InvalidArgument(
      StrCat("rank ", link.rank(), " is none of the group of ranks ", StrJoin(ranks, ",")));
}

// Whether every member comes with a rank table.
Result<bool> AllHaveTables(Communicator& link, std::span<const int32_t> ranks, uint32_t size,
                           const std::string& rank_table, Deadline deadline) {
  const auto mine = static_cast<uint8_t>(!rank_table.empty());
  std::vector<uint8_t> all(size);
  PIPESERVE_RETURN_IF_ERROR(link.AllGather(ranks, &mine, sizeof(mine), all.data(), deadline));
  return std::all_of(all.begin(), all.end(), [](uint8_t has) { return has != 0; });
}

// What the first member made, or why it could not.
struct Offer {
  abi::RootInfo info = {};
  bool made = false;
};

}  // namespace

Result<HcclGroup> JoinGroup(Device& device, Communicator& link, std::span<const int32_t> ranks,
                            const std::string& rank_table, Deadline deadline) {
  PIPESERVE_ASSIGN_OR_RETURN(const Membership membership, FindMembership(link, ranks));
  PIPESERVE_ASSIGN_OR_RETURN(const bool by_table,
                             AllHaveTables(link, ranks, membership.size, rank_table, deadline));
  if (by_table) return HcclGroup::JoinRankTable(device, rank_table, membership.index);
  Offer mine;
  Status failed;
  if (membership.index == 0) {
    Result<abi::RootInfo> info = HcclGroup::MakeRootInfo(device);
    mine.made = info.ok();
    if (info.ok()) mine.info = *info;
    failed = info.status();
  }
  // All tell, so that a group whose first member fails ends at once for the others.
  std::vector<Offer> offers(membership.size);
  PIPESERVE_RETURN_IF_ERROR(link.AllGather(ranks, &mine, sizeof(mine), offers.data(), deadline));
  PIPESERVE_RETURN_IF_ERROR(failed);
  if (!offers[0].made) return Unavailable("the first rank of the group could not open it");
  return HcclGroup::Join(device, offers[0].info, membership.size, membership.index);
}

std::chrono::seconds JoinLimit(const char* connect_timeout) {
  constexpr std::chrono::seconds kDefault(120), kOfHccl(20), kFirstCollectives(30);
  const std::string_view text = connect_timeout == nullptr ? "" : connect_timeout;
  int seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool is_set = error == std::errc() && end == text.data() + text.size() && seconds > 0;
  return (is_set ? std::chrono::seconds(seconds) : kDefault) + kOfHccl + kFirstCollectives;
}

}  // namespace pipeserve::ascend
