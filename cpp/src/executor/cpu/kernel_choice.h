// Which of the kernels that are compiled in a process runs.
#pragma once

#include <span>

#include "executor/cpu/kernels.h"
#include "pipeserve/status.h"

namespace pipeserve::kernels {

extern const KernelTable kBaselineKernels;  // "sse2" on x86-64, elsewhere "generic".
#ifdef PIPESERVE_X86_KERNELS
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
#endif

// Those that this CPU and its operating system can run, the best last; never empty.
std::span<const KernelTable* const> UsableKernels();

// The best, or what the environment variable PIPESERVE_CPU_ISA names (for tests and to compare).
// Errors: kInvalidArgument (the variable names none of UsableKernels()).
Result<const KernelTable*> ChooseKernels();

}  // namespace pipeserve::kernels
