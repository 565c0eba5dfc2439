// What a planned graph enqueues, in order.
#pragma once

#include <memory>

#include "executor/ascend/stream.h"
#include "executor/ascend/workspace.h"
#include "pipeserve/status.h"

namespace pipeserve::ascend {

class Step {
 public:
  virtual ~Step() = default;
  // Enqueues the work. Errors: those of the runtime.
  virtual Status Launch(Stream& stream, Workspace& workspace) = 0;
};

using StepResult = Result<std::unique_ptr<Step>>;

}  // namespace pipeserve::ascend
