// Which ranks a collective operator of a model file speaks to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/model_file.h"

namespace pipeserve {

// What a node says about its group.
struct GroupReference {
  std::string name;
  std::optional<std::string> group_ranks;         // "0-1-2-3", or "WORLD_GROUP".
  std::optional<std::vector<int64_t>> rank_list;  // The same as numbers (2.10).
  int64_t rank_size = 0;                          // 0 when the node does not say.
};

// Errors: kInvalidArgument (a group that neither the world, the node nor the group file knows;
// members that contradict each other, or are not ascending ranks of the servable).
Result<CollectiveAttributes> ResolveGroup(const GroupReference& reference,
                                          const ReadOptions& options);

}  // namespace pipeserve
