// Holds the inputs of a call against a graph's signature.
#pragma once

#include <span>

#include "executor/executor.h"
#include "graph/graph.h"
#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

// An input of known shape fits when its byte size and data type do, whatever its shape: the
// original compares no more. One with unknown dimensions must also fit in rank and in every
// dimension that is known. Messages begin with the original's words.
//
// Errors: kInvalidArgument.
Status CheckInputs(GraphId graph, const GraphSignature& signature, std::span<const Tensor> inputs);

}  // namespace pipeserve
