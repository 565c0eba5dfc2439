#include "base/available_cores.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <thread>

#include "base/text_file.h"

namespace pipeserve {
namespace {

int CoresOfAffinity() {
  cpu_set_t cores;  // Of 1024; a machine with more says so by an error.
  if (sched_getaffinity(0, sizeof(cores), &cores) == 0) return CPU_COUNT(&cores);
  return static_cast<int>(std::thread::hardware_concurrency());
}

// The control group's own file; in a container that is the one at the root.
std::optional<int> CoresOfControlGroup() {
  constexpr std::string_view kUnified = "0::";
  const std::string root = "/sys/fs/cgroup";
  std::string group;
  if (const auto groups = ReadTextFile("/proc/self/cgroup"); groups.ok()) {
    const size_t at = groups->starts_with(kUnified) ? 0 : groups->find("\n0::") + 1;
    if (at != 0 || groups->starts_with(kUnified)) {
      const size_t begin = at + kUnified.size();
      group = groups->substr(begin, groups->find('\n', begin) - begin);
    }
  }
  for (const std::string& file : {root + group + "/cpu.max", root + "/cpu.max"}) {
    if (const auto text = ReadTextFile(file); text.ok()) return CoresOfQuota(*text);
  }
  return std::nullopt;
}

}  // namespace

std::optional<int> CoresOfQuota(std::string_view cpu_max) {
  int64_t quota = 0, period = 0;
  const char* const end = cpu_max.data() + cpu_max.size();
  const auto first = std::from_chars(cpu_max.data(), end, quota);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != ' ') return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, period);
  if (second.ec != std::errc() || quota < 1 || period < 1) return std::nullopt;
  constexpr int64_t kMost = 1024;
  return static_cast<int>(std::min(kMost, (quota - 1) / period + 1));
}

int ShareOfCores(int cores, int processes) { return std::max(1, cores / processes); }

int AvailableCores() {
  const int cores = CoresOfAffinity();
  return std::max(1, std::min(cores, CoresOfControlGroup().value_or(cores)));
}

}  // namespace pipeserve
