#include "executor/ascend/group_link.h"

#include <algorithm>

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

// What the first member made, or why it could not.
struct Offer {
  abi::RootInfo info = {};
  bool made = false;
};

}  // namespace

Result<HcclGroup> JoinGroup(Device& device, Communicator& link, std::span<const int32_t> ranks,
                            Deadline deadline) {
  PIPESERVE_ASSIGN_OR_RETURN(const Membership membership, FindMembership(link, ranks));
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

}  // namespace pipeserve::ascend
