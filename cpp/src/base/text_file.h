// A whole file as text.
#pragma once

#include <string>

#include "pipeserve/status.h"

namespace pipeserve {

// Errors: kInvalidArgument (not there, not readable), naming the file.
Result<std::string> ReadTextFile(const std::string& path);

}  // namespace pipeserve
