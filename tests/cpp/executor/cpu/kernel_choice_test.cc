#include "executor/cpu/kernel_choice.h"

#include <cstdlib>
#include <string>

#include "executor/cpu/cpu_executor.h"
#include "support/matchers.h"

namespace pipeserve::kernels {
namespace {

class KernelChoiceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const char* value = std::getenv("PIPESERVE_CPU_ISA")) before_ = value;
  }
  void TearDown() override { setenv("PIPESERVE_CPU_ISA", before_.c_str(), 1); }

  std::string before_;
};

TEST_F(KernelChoiceTest, TakesTheBestThatTheCpuRuns) {
  unsetenv("PIPESERVE_CPU_ISA");
  const auto chosen = ChooseKernels();
  ASSERT_OK(chosen);
  EXPECT_EQ(*chosen, UsableKernels().back());
  EXPECT_EQ(UsableKernels().front(), &kBaselineKernels);
}

TEST_F(KernelChoiceTest, TheVariableNamesOneThatTheCpuRuns) {
  for (const KernelTable* table : UsableKernels()) {
    setenv("PIPESERVE_CPU_ISA", table->isa, 1);
    const auto chosen = ChooseKernels();
    ASSERT_OK(chosen);
    EXPECT_EQ(*chosen, table);
  }
}

TEST_F(KernelChoiceTest, AnythingElseIsRefusedWhenGraphsAreLoaded) {
  setenv("PIPESERVE_CPU_ISA", "mmx", 1);
  const std::string message = "PIPESERVE_CPU_ISA is \"mmx\", this CPU runs ";
  EXPECT_ERROR(CpuExecutor::Create({}), kInvalidArgument, message + kBaselineKernels.isa);
}

}  // namespace
}  // namespace pipeserve::kernels
