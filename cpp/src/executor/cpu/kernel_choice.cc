#include "executor/cpu/kernel_choice.h"

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/str_cat.h"

namespace pipeserve::kernels {
namespace {

constexpr char kVariable[] = "PIPESERVE_CPU_ISA";

std::vector<const KernelTable*> FindUsable() {
  std::vector<const KernelTable*> usable = {&kBaselineKernels};
#ifdef PIPESERVE_X86_KERNELS
  // These also see whether the operating system saves the wider registers.
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
      !__builtin_cpu_supports("f16c")) {
    return usable;
  }
  usable.push_back(&kAvx2Kernels);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    usable.push_back(&kAvx512Kernels);
  }
#endif
  return usable;
}

}  // namespace

std::span<const KernelTable* const> UsableKernels() {
  static const std::vector<const KernelTable*> usable = FindUsable();
  return usable;
}

Result<const KernelTable*> ChooseKernels() {
  const char* wanted = std::getenv(kVariable);
  if (wanted == nullptr || *wanted == '\0') return UsableKernels().back();
  std::vector<std::string_view> names;
  for (const KernelTable* table : UsableKernels()) {
    if (table->isa == std::string_view(wanted)) return table;
    names.emplace_back(table->isa);
  }
  return InvalidArgument(
      StrCat(kVariable, " is \"", wanted, "\", this CPU runs ", StrJoin(names, ", ")));
}

}  // namespace pipeserve::kernels
