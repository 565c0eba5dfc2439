// The shapes and data types of a graph's values, from those of its inputs.
#pragma once

#include <span>
#include <vector>

#include "graph/graph.h"

namespace pipeserve {

// Checks every node of `graph` (operand counts, data types, shapes, attribute ranges) and returns
// the info of every value, indexed by ValueId. `inputs` replaces the declared shapes of the graph's
// inputs and must agree with them except where they are unknown; a dimension that stays unknown is
// -1 in the result. `rank_size` is the number of ranks of the servable (1 outside a group): it
// stands for a collective's group when the group names no ranks.
//
// Errors: kInvalidArgument, naming the node, what was wanted and what came.
Result<std::vector<TensorInfo>> InferShapes(const Graph& graph, std::span<const TensorInfo> inputs,
                                            int rank_size);

// Checks one node against the infos of its inputs, in order, and returns those of its outputs, as
// many as node.outputs has; their names are left empty. Errors: those of InferShapes.
Result<std::vector<TensorInfo>> InferNode(const Node& node, std::span<const TensorInfo> inputs,
                                          int rank_size);

// Which dimensions of `input` a reduction sums over, one entry for each.
// Errors: kInvalidArgument (an axis that `input` has not, or one named twice).
Result<std::vector<bool>> ResolveReduction(const ReduceAttributes& attributes, const Shape& input);
// The shape of what is left. Errors: those of ResolveReduction().
Result<Shape> InferReductionShape(const ReduceAttributes& attributes, const Shape& input);

// A strided slice with its masks resolved against a known input shape.
struct SliceSpec {
  std::vector<int64_t> begin, strides;  // One entry for each input dimension.
  std::vector<int64_t> sizes;           // Elements taken along each input dimension.
  Shape output;                         // After new and shrunk axes.
};
// Errors: kInvalidArgument (an entry or mask that does not fit `input`, or an unknown dimension).
Result<SliceSpec> ResolveSlice(const StridedSliceAttributes& attributes, const Shape& input);
// Only the resulting shape; a dimension that depends on an unknown one is unknown.
Result<Shape> InferSliceShape(const StridedSliceAttributes& attributes, const Shape& input);

}  // namespace pipeserve
