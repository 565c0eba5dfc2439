#include "base/malloc_tuning.h"

#include <malloc.h>

namespace pipeserve {

void TuneMallocForServing() {
#ifdef __GLIBC__
  constexpr int kMegabyte = 1 << 20;
  [[maybe_unused]] static const bool once = [] {
    mallopt(M_MMAP_THRESHOLD, 32 * kMegabyte);  // The most that it takes.
    mallopt(M_TRIM_THRESHOLD, 256 * kMegabyte);
    return mallopt(M_TOP_PAD, 16 * kMegabyte) == 1;
  }();
#endif
}

}  // namespace pipeserve
