// The rank table as HCCL takes it.
#pragma once

#include <string>
#include <vector>

namespace pipeserve::ascend::sim {

struct RankTable {
  std::string content;             // Of the file.
  std::vector<int> devices;        // The physical device of each rank.
  std::vector<std::string> wrong;  // The rules that it breaks.
  bool readable = false;
};

RankTable ReadRankTable(const std::string& path);

}  // namespace pipeserve::ascend::sim
