#include "scheduler/call_check.h"

#include "base/str_cat.h"

namespace pipeserve {

Status CheckWanted(const CallContext& context, std::string_view what) {
  if (context.deadline.HasPassed()) {
    return DeadlineExceeded(StrCat("the request's deadline passed before ", what));
  }
  if (context.cancelled != nullptr && *context.cancelled) {
    return Cancelled(StrCat("the request was given up before ", what));
  }
  return OkStatus();
}

}  // namespace pipeserve
