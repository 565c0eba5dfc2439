#include "pipeserve/servable.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

TEST(PhaseTest, PrintsAsTheOriginalPrintsIt) {
  EXPECT_STREQ(PhaseName(Phase::kInput), "Input");
  EXPECT_STREQ(PhaseName(Phase::kPreprocess), "Preprocess");
  EXPECT_STREQ(PhaseName(Phase::kPredict), "Predict");
  EXPECT_STREQ(PhaseName(Phase::kPostprocess), "Postprocess");
}

}  // namespace
}  // namespace pipeserve
