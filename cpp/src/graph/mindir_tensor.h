// Tensors as MindIR describes them.
#pragma once

#include <string>
#include <string_view>

#include "pipeserve/tensor.h"

namespace pipeserve {

namespace mindir {
class TensorProto;
}  // namespace mindir

// `name` for a message: names in files may be of any length and bytes.
std::string Printable(std::string_view name);

// dtype and shape, under `name`. Errors: kUnimplemented (a data type or an unknown rank),
// kInvalidArgument (an impossible dimension).
Result<TensorInfo> TensorInfoOf(const mindir::TensorProto& proto, std::string_view name);

// The tensor with the values that stand in the message itself.
// Errors: those of TensorInfoOf(), kInvalidArgument (values of another size than the shape).
Result<Tensor> TensorOf(const mindir::TensorProto& proto);

}  // namespace pipeserve
