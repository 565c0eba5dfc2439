// The rules that were broken so far.
#pragma once

#include <string>
#include <vector>

namespace pipeserve::ascend::sim {

// Adds a line to a file, whole even when several processes do so. Ends the process when it cannot:
// a lost report would look like success.
void AppendLine(const char* path, const std::string& line);

class Report {
 public:
  // Keeps "<rule>: <text>" and appends it to the file that $PIPESERVE_ASCEND_SIM_REPORT names, so
  // that it outlives the process. Ends the process when `stop` is set.
  void Add(const std::string& rule, const std::string& text, bool stop);

  void Clear() { lines_.clear(); }
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::vector<std::string> lines_;
};

}  // namespace pipeserve::ascend::sim
