// One JSON value of a REST request as a tensor.
#pragma once

#include <simdjson.h>

#include "pipeserve/tensor.h"

namespace pipeserve {

// Errors: kInvalidArgument, in the original's words.
Result<Tensor> TensorFromJson(const simdjson::dom::element& value);

// {"b64": text, "type": name, "shape": [...]}. Errors: kInvalidArgument.
Result<Tensor> TensorFromBase64Object(const simdjson::dom::object& object);

// Elements of an array; simdjson's own count stops at 2^24 - 1.
size_t JsonArraySize(const simdjson::dom::array& array);

}  // namespace pipeserve
