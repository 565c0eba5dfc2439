// What a request asks for: a method or a pipeline, ready to run.
#pragma once

#include <vector>

#include "executor/executor.h"
#include "pipeserve/servable.h"

namespace pipeserve {

// Immutable, so many threads run one at once.
class Callable {
 public:
  virtual ~Callable() = default;

  // Runs the instances of one request on the calling thread: one result each, in order. An
  // instance that fails costs no other one its result.
  virtual std::vector<Result<Instance>> Run(std::vector<Instance> instances,
                                            const CallContext& context) const = 0;
};

}  // namespace pipeserve
