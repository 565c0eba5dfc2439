// Whether a call is still worth making.
#pragma once

#include "base/str_cat.h"
#include "executor/executor.h"

namespace pipeserve {

// kDeadlineExceeded ("the request's deadline passed before <what>") or kCancelled. The parts of
// `what` make a text only when there is an error.
template <typename... Parts>
Status CheckWanted(const CallContext& context, const Parts&... what) {
  if (context.deadline.HasPassed()) {
    return DeadlineExceeded(StrCat("the request's deadline passed before ", what...));
  }
  if (context.is_cancelled()) {
    return Cancelled(StrCat("the request was given up before ", what...));
  }
  return OkStatus();
}

}  // namespace pipeserve
