// The computing operators of model files: their names, and where their arguments are.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "graph/edges.h"
#include "graph/model_file.h"

namespace pipeserve {

namespace mindir {
class AttributeProto;
}  // namespace mindir

// One use of an operator.
struct OperatorUse {
  std::string op;    // "MatMul", however the file encodes it.
  std::string name;  // Of the node, for messages.
  std::map<std::string, const mindir::AttributeProto*> attributes;
  std::vector<EdgeId> inputs;  // Operands, and in 2.10 constants that used to be attributes.
};

bool IsSupportedOperator(std::string_view op);

// The node that `use` stands for: operands and attributes read, and as many outputs as it has
// results, each still 0.
//
// Errors: kInvalidArgument (too few or many inputs, an attribute that is missing or of another
// kind, see also ResolveGroup()), kUnimplemented (a variant of the operator).
Result<Node> ReadOperator(const OperatorUse& use, const ReadOptions& options, const Graph& graph,
                          EdgeTable& edges);

}  // namespace pipeserve
