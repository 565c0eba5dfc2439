// For every CPU of the architecture.
#define Eigen Eigen_baseline
#include "executor/cpu/isa/table.h"

namespace pipeserve::kernels {

#if defined(__x86_64__)
const KernelTable kBaselineKernels = PIPESERVE_KERNEL_TABLE("sse2");
#else
const KernelTable kBaselineKernels = PIPESERVE_KERNEL_TABLE("generic");
#endif

}  // namespace pipeserve::kernels
