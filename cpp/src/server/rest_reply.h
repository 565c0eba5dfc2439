// The body of a REST reply.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeserve/servable.h"

namespace pipeserve {

// {"error_msg": text}.
std::string WriteRestError(std::string_view text);

// {"instances": [{name: value}, ...]}; a failed instance is {"error_msg": text} in its place.
// Numbers are the shortest text that reads back as the same value; what JSON has no number for is
// NaN, Infinity and -Infinity, which Python's json module reads (and JavaScript's does not).
// Errors: kInternal (an output without data type, text in more than one dimension or not UTF-8).
Result<std::string> WriteRestReply(std::span<const std::string> output_names,
                                   std::span<const Result<Instance>> instances);

}  // namespace pipeserve
