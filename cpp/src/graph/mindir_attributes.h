// Literals and operator attributes as MindIR 1.3 spells them: `ref_attr_name` describes the
// nesting, `type` the leaves, and the leaves stand in the field of their kind.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace pipeserve {

namespace mindir {
class NodeProto;
class TensorProto;
}  // namespace mindir

// dims and data_type; the values are left out.
void SetTensorInfo(mindir::TensorProto& proto, DataType dtype, const Shape& shape);

void AddInt(mindir::NodeProto& node, std::string_view name, int64_t value);
void AddTuple(mindir::NodeProto& node, std::string_view name, std::span<const int64_t> values);
void AddType(mindir::NodeProto& node, std::string_view name, DataType dtype);
// The order of memory effects, as the value of a Constant.
void AddMonad(mindir::NodeProto& node);
// Data type and shape of the result, or of each element when it is a tuple.
void AddShape(mindir::NodeProto& node, std::span<const TensorInfo> infos, bool is_tuple);
void AddMonadShape(mindir::NodeProto& node);

// The attributes of an operator and the labels of its operands.
void AddOperatorAttributes(mindir::NodeProto& proto, const Node& node);

}  // namespace pipeserve
