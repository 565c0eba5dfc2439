// The named edges of a model file while it is read: what each one turned out to be.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "graph/graph.h"
#include "graph/literals.h"

namespace pipeserve {

using EdgeId = size_t;

// A literal (also a weight or a monad), a value of the graph, or a tuple of other edges. Tuples
// refer instead of containing, so that nesting cannot make them grow.
using EdgeValue = std::variant<Literal, ValueId, std::vector<EdgeId>>;

class EdgeTable {
 public:
  // Constants that become operands are added to `graph`, which outlives the table.
  explicit EdgeTable(Graph& graph) : graph_(graph) {}

  // Errors: kInvalidArgument (a name that is taken); so for Alias().
  Status Define(const std::string& name, EdgeValue value);
  Status Alias(const std::string& name, EdgeId edge);
  // An edge without a name, for the elements of a tuple.
  EdgeId Add(std::string label, EdgeValue value);

  // Errors: kInvalidArgument (an edge that nothing defines).
  Result<EdgeId> Find(const std::string& name) const;

  // The literal of a constant edge, a list for a tuple of constants.
  // Errors: kInvalidArgument, when the edge is only known when the graph runs.
  Result<Literal> LiteralAt(EdgeId edge) const;
  // Errors: kInvalidArgument, when the edge is no tuple.
  Result<std::vector<EdgeId>> TupleAt(EdgeId edge) const;
  bool IsTuple(EdgeId edge) const;
  // Whether the edge has no value: a monad, or what stands for a Send.
  bool IsNothing(EdgeId edge) const;
  // Whether the edge is a lone number, which takes the data type of the other operand.
  bool IsNumber(EdgeId edge) const;

  // The edge as an operand. Errors: kInvalidArgument, when it is no tensor.
  Result<ValueId> TensorAt(EdgeId edge);
  // A lone number as a scalar operand. Errors: those of ScalarTensor().
  Result<ValueId> NumberAt(EdgeId edge, DataType dtype);

 private:
  struct Edge {
    std::string label;
    EdgeValue value;
  };

  ValueId AddConstant(const std::string& label, Tensor tensor);

  Graph& graph_;
  std::vector<Edge> edges_;
  std::unordered_map<std::string, EdgeId> ids_;
  std::unordered_map<EdgeId, ValueId> constants_;  // Of the literals that became operands.
};

}  // namespace pipeserve
