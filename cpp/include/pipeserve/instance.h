// What requests and replies carry: instances, with or without names.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "pipeserve/tensor.h"

namespace [[gnu::visibility("default")]] pipeserve {

// The values of one instance, in the order in which the method or step declares them.
using Instance = std::vector<Tensor>;

// The same as clients see it, in any order.
using NamedInstance = std::vector<std::pair<std::string, Tensor>>;

// What went wrong with one instance, in the service's own codes.
struct InstanceError {
  int64_t code = 0;  // 0 is success.
  std::string message;
};

// A reply as it came over the wire: see the rules of the service for how the counts relate.
struct InferReply {
  std::vector<NamedInstance> instances;
  std::vector<InstanceError> errors;  // None, one for the whole request, or one per instance.
};

}  // namespace pipeserve
