// How the simulated device behaves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace pipeserve::ascend::sim {

enum class Mode {
  kEager,   // A stream works as soon as there is work.
  kLazy,    // A stream works only when somebody waits for it.
  kRandom,  // As kEager, with a random delay before each task.
};

struct Settings {
  Mode mode = Mode::kEager;
  uint64_t seed = 1;
  std::string soc = "Ascend910B1";
  uint32_t devices = 8;
  size_t memory = size_t{2} << 30;  // Of each device, in bytes.
  bool stop_at_violation = false;   // Ends the process.
  uint64_t workspace = 4096;        // What phase 1 of each operator asks for.
  bool random_workspace = false;    // It asks for something else each time.
  bool repeatable = true;           // Executors can be made so.
  uint32_t connect_ms = 20'000;     // How long a communicator waits for its ranks.
  uint32_t exec_ms = 20'000;        // How long a collective waits for its ranks.
  uint32_t slow_ms = 0;             // This rank comes later to each collective.
  uint32_t die_at = 0;              // This process ends in its n-th collective.
  uint32_t hang_at = 0;             // Its n-th collective does not end.
  bool reverse_sums = false;        // AllReduce adds from the last rank to the first.

  // "name=value,name=value". Returns what is wrong with it; empty when nothing is.
  std::string Apply(const std::string& text);
};

}  // namespace pipeserve::ascend::sim
