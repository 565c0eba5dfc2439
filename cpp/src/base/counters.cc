#include "base/counters.h"

#include <sys/resource.h>

#include "pipeserve/counters.h"

namespace pipeserve {

ProcessCounters ReadProcessCounters() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return {.copied_bytes = Counters::Global().copied_bytes,
          .thread_wakeups = Counters::Global().thread_wakeups,
          .page_faults = static_cast<uint64_t>(usage.ru_minflt)};
}

}  // namespace pipeserve
