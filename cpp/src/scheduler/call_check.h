// Whether a call is still worth making.
#pragma once

#include <string_view>

#include "executor/executor.h"

namespace pipeserve {

// kDeadlineExceeded ("the request's deadline passed before <what>") or kCancelled.
Status CheckWanted(const CallContext& context, std::string_view what);

}  // namespace pipeserve
