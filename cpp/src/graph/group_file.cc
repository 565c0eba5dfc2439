// group_config.pb: the groups of ranks that one rank belongs to.
#include <algorithm>
#include <limits>

#include "base/str_cat.h"
#include "graph/model_bytes.h"
#include "graph/model_file.h"
#include "mindir.pb.h"

namespace pipeserve {
namespace {

Result<std::vector<int32_t>> RanksOf(const mindir::ParallelGroupItem& item) {
  std::vector<int32_t> ranks;
  for (const uint32_t rank : item.parallel_group_ranks().dim()) {
    if (rank > static_cast<uint32_t>(std::numeric_limits<int32_t>::max())) {
      return InvalidArgument(StrCat("group ", item.group_name(), " names rank ", rank));
    }
    ranks.push_back(static_cast<int32_t>(rank));
  }
  if (ranks.empty()) return InvalidArgument(StrCat("group ", item.group_name(), " has no ranks"));
  // AllGather joins in this order, and every writer lists it ascending.
  if (std::adjacent_find(ranks.begin(), ranks.end(), std::greater_equal<>()) != ranks.end()) {
    return InvalidArgument(StrCat("group ", item.group_name(), " lists ranks ", StrJoin(ranks, "-"),
                                  ", ascending ones were wanted"));
  }
  return ranks;
}

Result<GroupMap> GroupsOf(const mindir::ParallelGroupMap& message) {
  GroupMap groups;
  for (const mindir::ParallelGroupItem& item : message.parallel_group_item()) {
    if (item.group_name().empty()) return InvalidArgument("a group has no name");
    PIPESERVE_ASSIGN_OR_RETURN(std::vector<int32_t> ranks, RanksOf(item));
    if (!groups.emplace(item.group_name(), std::move(ranks)).second) {
      return InvalidArgument(StrCat("group ", item.group_name(), " is listed twice"));
    }
  }
  return groups;
}

Result<GroupMap> Read(const std::filesystem::path& path) {
  PIPESERVE_ASSIGN_OR_RETURN(const ModelBytes file, ReadModelBytes(path, std::nullopt));
  mindir::ParallelGroupMap message;
  PIPESERVE_RETURN_IF_ERROR(ParseMessage(file, message));
  return GroupsOf(message);
}

}  // namespace

Result<GroupMap> ReadGroupFile(const std::filesystem::path& path) {
  Result<GroupMap> groups = Read(path);
  if (!groups.ok()) return groups.status().WithContext(StrCat("group file ", path.string()));
  return groups;
}

}  // namespace pipeserve
