// What this process has done so far: figures per request are differences of these by the number of
// requests between.
#pragma once

#include <cstdint>

namespace [[gnu::visibility("default")]] pipeserve {

struct ProcessCounters {
  uint64_t copied_bytes = 0;    // Of tensors, from one place in memory to another.
  uint64_t thread_wakeups = 0;  // How often a thread of the core went on after it slept.
  uint64_t page_faults = 0;     // Of the whole process, by the kernel's count; no disk was read.
};

ProcessCounters ReadProcessCounters();

}  // namespace pipeserve
