// Calling a host function so that whatever it does is one result per instance.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeserve/servable.h"

namespace pipeserve {

// One result per instance, each a value list of `output_count`. An exception, a missing result and
// a wrong number of values are kInternal; results beyond the last instance are ignored. An error
// has `failure` and ": " before its message.
std::vector<Result<Instance>> CallHost(HostFunction& function, std::span<const Instance> instances,
                                       size_t output_count, std::string_view failure);

// "Input count 1 does not equal to input count 2 defined in method fun1".
Status CheckInputCount(const std::string& method, size_t wanted, const Instance& instance);

}  // namespace pipeserve
