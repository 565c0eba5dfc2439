// Values that stand in a model file: attributes of operators and constants.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

namespace mindir {
class AttributeProto;
}  // namespace mindir

struct Literal {
  using List = std::vector<Literal>;

  // Nothing for a monad or None; a bool is an integer. A data type is what tensors can have.
  std::variant<std::monostate, int64_t, double, std::string, DataType, Tensor, List> value;
};

// Reads both encodings: nesting by ref_attr_name (1.x) and by type (2.x).
//
// Errors: kInvalidArgument (nesting and values do not match), kUnimplemented (a kind of value that
// is none of Literal's).
Result<Literal> LiteralOf(const mindir::AttributeProto& attribute);

// A lone integer, or a tensor of one int32 or int64.
// Errors: kInvalidArgument, naming `what`, when the literal is something else; so for IntsOf().
Result<int64_t> IntOf(const Literal& literal, std::string_view what);
// A data type, or MindSpore's number of one.
// Errors: kInvalidArgument (neither), kUnimplemented (one that no tensor here has).
Result<DataType> DataTypeOf(const Literal& literal, std::string_view what);
// A list of integers, a lone one, or an integer tensor of at most one dimension.
Result<std::vector<int64_t>> IntsOf(const Literal& literal, std::string_view what);

// A lone number as a scalar tensor of float32, float16 or int32.
// Errors: kUnimplemented (another data type, or a fraction for int32), kInvalidArgument (no
// number).
Result<Tensor> ScalarTensor(const Literal& literal, DataType dtype);

}  // namespace pipeserve
