// For x86-64 with AVX2, FMA and F16C.
#define Eigen Eigen_avx2
#include "executor/cpu/isa/table.h"

namespace pipeserve::kernels {

const KernelTable kAvx2Kernels = PIPESERVE_KERNEL_TABLE("avx2");

}  // namespace pipeserve::kernels
