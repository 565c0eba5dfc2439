#include "graph/edges.h"

#include "base/str_cat.h"
#include "graph/mindir_tensor.h"

namespace pipeserve {

EdgeId EdgeTable::Add(std::string label, EdgeValue value) {
  edges_.push_back({std::move(label), std::move(value)});
  return edges_.size() - 1;
}

Status EdgeTable::Define(const std::string& name, EdgeValue value) {
  return Alias(name, Add(name, std::move(value)));
}

Status EdgeTable::Alias(const std::string& name, EdgeId edge) {
  if (ids_.emplace(name, edge).second) return OkStatus();
  return InvalidArgument(StrCat("edge ", Printable(name), " is defined twice"));
}

Result<EdgeId> EdgeTable::Find(const std::string& name) const {
  const auto found = ids_.find(name);
  if (found != ids_.end()) return found->second;
  return InvalidArgument(StrCat("nothing defines edge ", Printable(name)));
}

bool EdgeTable::IsTuple(EdgeId edge) const {
  return std::holds_alternative<std::vector<EdgeId>>(edges_[edge].value);
}

bool EdgeTable::IsNothing(EdgeId edge) const {
  const auto* literal = std::get_if<Literal>(&edges_[edge].value);
  return literal != nullptr && std::holds_alternative<std::monostate>(literal->value);
}

bool EdgeTable::IsNumber(EdgeId edge) const {
  const auto* literal = std::get_if<Literal>(&edges_[edge].value);
  return literal != nullptr && (std::holds_alternative<int64_t>(literal->value) ||
                                std::holds_alternative<double>(literal->value));
}

Result<Literal> EdgeTable::LiteralAt(EdgeId edge) const {
  const Edge& at = edges_[edge];
  if (const auto* literal = std::get_if<Literal>(&at.value)) return *literal;
  Literal::List items;
  const auto* tuple = std::get_if<std::vector<EdgeId>>(&at.value);
  for (size_t i = 0; tuple != nullptr && i < tuple->size(); ++i) {
    if (const auto* item = std::get_if<Literal>(&edges_[(*tuple)[i]].value)) items.push_back(*item);
  }
  if (tuple != nullptr && items.size() == tuple->size()) return Literal{std::move(items)};
  return InvalidArgument(StrCat("edge ", Printable(at.label), " is not constant"));
}

Result<std::vector<EdgeId>> EdgeTable::TupleAt(EdgeId edge) const {
  if (IsTuple(edge)) return std::get<std::vector<EdgeId>>(edges_[edge].value);
  return InvalidArgument(StrCat("edge ", Printable(edges_[edge].label), " is no tuple"));
}

ValueId EdgeTable::AddConstant(const std::string& label, Tensor tensor) {
  const ValueId id = graph_.AddValue({label, tensor.dtype(), tensor.shape()});
  graph_.constants.emplace(id, std::move(tensor));
  return id;
}

Result<ValueId> EdgeTable::TensorAt(EdgeId edge) {
  const Edge& at = edges_[edge];
  if (const auto* value = std::get_if<ValueId>(&at.value)) return *value;
  const auto* literal = std::get_if<Literal>(&at.value);
  const auto* tensor = literal == nullptr ? nullptr : std::get_if<Tensor>(&literal->value);
  if (tensor == nullptr) {
    return InvalidArgument(StrCat("edge ", Printable(at.label), " is no tensor"));
  }
  // Kept as a literal too, because a constant tensor may also be an attribute elsewhere.
  const auto known = constants_.find(edge);
  if (known != constants_.end()) return known->second;
  return constants_.emplace(edge, AddConstant(at.label, *tensor)).first->second;
}

Result<ValueId> EdgeTable::NumberAt(EdgeId edge, DataType dtype) {
  const Edge& at = edges_[edge];
  PIPESERVE_ASSIGN_OR_RETURN(const Literal literal, LiteralAt(edge));
  Result<Tensor> tensor = ScalarTensor(literal, dtype);
  if (!tensor.ok()) return tensor.status().WithContext(Printable(at.label));
  return AddConstant(at.label, *std::move(tensor));
}

}  // namespace pipeserve
