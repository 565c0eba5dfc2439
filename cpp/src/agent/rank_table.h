// The rank table: which rank runs where (JSON, both formats of the original).
#pragma once

#include <string>
#include <vector>

#include "pipeserve/agent.h"
#include "pipeserve/status.h"

namespace pipeserve {

struct RankTable {
  std::vector<RankPlace> ranks;  // Indexed by rank.
  std::string content;           // The file, verbatim.
};

// Errors: kInvalidArgument with the original's texts; kNotFound.
Result<RankTable> ReadRankTable(const std::string& path);
Result<RankTable> ParseRankTable(std::string content, const std::string& path);

// The rules that bind a table to a servable. Errors: kFailedPrecondition, original's texts.
Status CheckRankTable(const RankTable& table, int rank_size, int stage_size,
                      const std::string& path);

}  // namespace pipeserve
