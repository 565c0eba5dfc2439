// For x86-64 with the AVX-512 of servers: F, BW, DQ and VL.
#define Eigen Eigen_avx512
#include "executor/cpu/isa/table.h"

namespace pipeserve::kernels {

const KernelTable kAvx512Kernels = PIPESERVE_KERNEL_TABLE("avx512");

}  // namespace pipeserve::kernels
