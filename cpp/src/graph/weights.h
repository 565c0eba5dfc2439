// The weights of a model file, wherever it keeps them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "graph/model_file.h"

namespace pipeserve {

namespace mindir {
class GraphProto;
}  // namespace mindir

struct Weight {
  std::string name;  // Its edge.
  Tensor value;
};

// Takes the weights out of `graph`, which was read from `path`: from the message itself, from the
// files that external_data names, or, for NAME_graph.mindir of 1.x, from NAME_variables. The
// parameters of the message are gone afterwards, so that weights are not held twice.
//
// Errors, naming the weight or file: kNotFound (a file of weights is missing), kInvalidArgument (a
// location outside the model's folder, a range outside its file, a size that is not the shape's,
// a damaged file), kUnimplemented (a data type).
Result<std::vector<Weight>> TakeWeights(mindir::GraphProto& graph,
                                        const std::filesystem::path& path,
                                        const std::optional<Decryption>& decryption);

}  // namespace pipeserve
