#include "graph/collective_group.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <string_view>

#include "base/str_cat.h"
#include "graph/mindir_tensor.h"

namespace pipeserve {
namespace {

using Ranks = std::vector<int64_t>;

// How group_ranks spells all ranks.
constexpr std::string_view kWorldRanks = "WORLD_GROUP";

bool IsWorld(std::string_view name) {
  return name == "hccl_world_group" || name == "nccl_world_group" || name == kWorldRanks;
}

// "0-1-2-3"; nothing when the text is something else.
std::optional<Ranks> ParseRanks(std::string_view text) {
  Ranks ranks;
  const char* at = text.data();
  const char* end = at + text.size();
  while (true) {
    int64_t rank = 0;
    const auto [next, error] = std::from_chars(at, end, rank);
    if (error != std::errc()) return std::nullopt;
    ranks.push_back(rank);
    if (next == end) return ranks;
    if (*next != '-') return std::nullopt;
    at = next + 1;
  }
}

// The members by each of the sources that names them: the node in two ways, the group file.
Result<std::vector<Ranks>> Claims(const GroupReference& reference, const GroupMap& groups) {
  std::vector<Ranks> claims;
  if (reference.group_ranks.has_value() && *reference.group_ranks != kWorldRanks) {
    std::optional<Ranks> ranks = ParseRanks(*reference.group_ranks);
    if (!ranks.has_value()) {
      return InvalidArgument(StrCat("group_ranks of group ", Printable(reference.name), " is \"",
                                    Printable(*reference.group_ranks),
                                    "\", ranks like 0-1-2-3 were wanted"));
    }
    claims.push_back(*std::move(ranks));
  }
  if (reference.rank_list.has_value()) claims.push_back(*reference.rank_list);
  const auto group = groups.find(reference.name);
  if (group != groups.end()) claims.emplace_back(group->second.begin(), group->second.end());
  return claims;
}

Status CheckMembers(const std::string& name, const Ranks& ranks, int rank_size) {
  const bool ascending =
      std::adjacent_find(ranks.begin(), ranks.end(), std::greater_equal<>()) == ranks.end();
  if (!ranks.empty() && ascending && ranks.front() >= 0 && ranks.back() < rank_size) {
    return OkStatus();
  }
  return InvalidArgument(StrCat("group ", Printable(name), " has ranks ", StrJoin(ranks, "-"),
                                ", ascending ones below ", rank_size, " were wanted"));
}

}  // namespace

Result<CollectiveAttributes> ResolveGroup(const GroupReference& reference,
                                          const ReadOptions& options) {
  CollectiveAttributes attributes{reference.name, {}, reference.rank_size};
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<Ranks> claims, Claims(reference, options.groups));
  for (const Ranks& claim : claims) {
    PIPESERVE_RETURN_IF_ERROR(CheckMembers(reference.name, claim, options.rank_size));
    if (claim == claims.front()) continue;
    return InvalidArgument(StrCat("group ", Printable(reference.name), " has ranks ",
                                  StrJoin(claims.front(), "-"), " by the model and ",
                                  StrJoin(claim, "-"), " by another account"));
  }
  if (IsWorld(reference.name)) {
    if (claims.empty() || claims.front().size() == static_cast<size_t>(options.rank_size)) {
      return attributes;
    }
    return InvalidArgument(StrCat("group ", reference.name, " has ranks ",
                                  StrJoin(claims.front(), "-"), ", all ", options.rank_size,
                                  " were wanted"));
  }
  if (claims.empty()) {
    return InvalidArgument(StrCat("group ", Printable(reference.name),
                                  " is neither the world group nor in the group file"));
  }
  attributes.ranks.assign(claims.front().begin(), claims.front().end());
  return attributes;
}

}  // namespace pipeserve
