// From the message of a model file to the graph IR.
#pragma once

#include <vector>

#include "graph/model_file.h"
#include "graph/weights.h"

namespace pipeserve {

namespace mindir {
class ModelProto;
}  // namespace mindir

// Lowers the top graph of `model`, whose weights were taken out of it: resolves the structural
// operators (Load, Depend, UpdateState, MakeTuple, TupleGetItem, Constant) and both encodings of
// operator arguments, and infers every value's shape on the way. Errors: those of ReadMindir().
Result<Graph> LowerGraph(const mindir::ModelProto& model, std::vector<Weight> weights,
                         const ReadOptions& options);

}  // namespace pipeserve
