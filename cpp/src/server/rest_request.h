// The body of a REST request: {"instances": {...} or [{...}, ...]}.
#pragma once

#include <string>
#include <vector>

#include "pipeserve/instance.h"

namespace pipeserve {

// Integers become int32, other numbers float32, nested lists tensors; {"b64": ...} is bytes or a
// tensor of a named type. A number that does not fit into int32 is refused (the original cut it).
// `body` is read without a copy when it has 64 bytes of spare capacity.
// Errors: kInvalidArgument, in the original's words.
Result<std::vector<NamedInstance>> ParseRestBody(const std::string& body);

}  // namespace pipeserve
