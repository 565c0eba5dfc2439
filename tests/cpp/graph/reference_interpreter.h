// Runs the float graphs of all ranks in lock-step by the plainest loops there are, to hold what
// the sharding computes against the whole graph.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace pipeserve {

struct FloatTensor {
  Shape shape;
  std::vector<float> data;
};

// The outputs of every rank. Each rank whose graph takes inputs gets the same ones; one stage runs
// after the other, and node i of all graphs of a stage at once.
Result<std::vector<std::vector<FloatTensor>>> RunInLockStep(const std::vector<Graph>& ranks,
                                                            const std::vector<FloatTensor>& inputs,
                                                            size_t stages = 1);

}  // namespace pipeserve
