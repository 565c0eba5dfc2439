#include "report.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace pipeserve::ascend::sim {
void AppendLine(const char* path, const std::string& line) {
  const std::string text = line + "\n";
  const int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0 || write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    std::perror(path);
    std::abort();
  }
  close(file);
}

void Report::Add(const std::string& rule, const std::string& text, bool stop) {
  lines_.push_back(rule + ": " + text);
  const std::string line = std::to_string(getpid()) + " " + lines_.back();
  const char* const path = std::getenv("PIPESERVE_ASCEND_SIM_REPORT");
  if (path != nullptr && *path != '\0') AppendLine(path, line);
  if (!stop) return;
  std::fprintf(stderr, "%s\n", line.c_str());
  std::abort();
}

}  // namespace pipeserve::ascend::sim
