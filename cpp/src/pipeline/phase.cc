#include "pipeserve/servable.h"

namespace pipeserve {

const char* PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kInput:
      return "Input";
    case Phase::kPreprocess:
      return "Preprocess";
    case Phase::kPredict:
      return "Predict";
    case Phase::kPostprocess:
      return "Postprocess";
  }
  return "Unknown";
}

}  // namespace pipeserve
