// Which dimensions a reduction sums over, and what is left.
#include "base/str_cat.h"
#include "graph/shape_inference.h"

namespace pipeserve {

Result<std::vector<bool>> ResolveReduction(const ReduceAttributes& attributes, const Shape& input) {
  const auto rank = static_cast<int64_t>(input.rank());
  std::vector<bool> summed(input.rank(), attributes.axes.empty());
  for (const int64_t axis : attributes.axes) {
    if (axis < -rank || axis >= rank) {
      return InvalidArgument(StrCat("axis ", axis, " is none of an operand of shape ", input));
    }
    const auto at = static_cast<size_t>(axis < 0 ? axis + rank : axis);
    if (summed[at]) {
      return InvalidArgument(StrCat("axes (", StrJoin(attributes.axes, ","),
                                    ") of an operand of shape ", input, " name one twice"));
    }
    summed[at] = true;
  }
  return summed;
}

Result<Shape> InferReductionShape(const ReduceAttributes& attributes, const Shape& input) {
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<bool> summed, ResolveReduction(attributes, input));
  Shape result;
  for (size_t i = 0; i < input.rank(); ++i) {
    if (!summed[i]) {
      result.Append(input[i]);
    } else if (attributes.keep_dims) {
      result.Append(1);
    }
  }
  return result;
}

}  // namespace pipeserve
