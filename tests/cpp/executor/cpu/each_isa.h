// Tests that run once with the kernels of each instruction set that is compiled in.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "executor/cpu/kernel_choice.h"

namespace pipeserve {

class EachIsaTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    for (const kernels::KernelTable* table : kernels::UsableKernels()) {
      if (table->isa == std::string(GetParam())) kernels_ = table;
    }
    if (kernels_ == nullptr) GTEST_SKIP() << "this CPU does not run " << GetParam();
  }

  const kernels::KernelTable* kernels_ = nullptr;
};

#if defined(__x86_64__)
inline auto EveryIsa() { return testing::Values("sse2", "avx2", "avx512"); }
#else
inline auto EveryIsa() { return testing::Values("generic"); }
#endif

#define INSTANTIATE_FOR_EACH_ISA(suite)            \
  INSTANTIATE_TEST_SUITE_P(Isa, suite, EveryIsa(), \
                           [](const auto& info) { return std::string(info.param); })

}  // namespace pipeserve
