#include "report.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace pipeserve::ascend::sim {
namespace {

// One write, so that the lines of several processes do not mix.
void AppendTo(const char* path, const std::string& line) {
  const int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0 || write(file, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    std::perror(path);
    std::abort();  // A lost report would look like success.
  }
  close(file);
}

}  // namespace

void Report::Add(const std::string& rule, const std::string& text, bool stop) {
  lines_.push_back(rule + ": " + text);
  const std::string line = std::to_string(getpid()) + " " + lines_.back() + "\n";
  const char* const path = std::getenv("PIPESERVE_ASCEND_SIM_REPORT");
  if (path != nullptr && *path != '\0') AppendTo(path, line);
  if (!stop) return;
  std::fputs(line.c_str(), stderr);
  std::abort();
}

}  // namespace pipeserve::ascend::sim
