#include "graph/lowering.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>

#include "base/str_cat.h"
#include "graph/edges.h"
#include "graph/mindir_tensor.h"
#include "graph/operators.h"
#include "graph/shape_inference.h"
#include "mindir.pb.h"

namespace pipeserve {
namespace {

using AttributeList = google::protobuf::RepeatedPtrField<mindir::AttributeProto>;

constexpr std::string_view kReference = "REF::";
// Far more than any model has; keeps a small hostile file from making a huge graph.
constexpr size_t kMostValues = size_t{1} << 20;

// What a node does and where its attributes are.
struct Operator {
  std::string name;
  const AttributeList* attributes = nullptr;
};

std::string NodeName(const mindir::NodeProto& node) {
  if (!node.domain().empty()) return Printable(node.domain());
  return Printable(node.output_size() > 0 ? node.output(0) : node.name());
}

class Lowering {
 public:
  Lowering(const mindir::ModelProto& model, const ReadOptions& options)
      : model_(model), options_(options), edges_(graph_) {
    for (const mindir::PrimitiveProto& primitive : model.primitives()) {
      primitives_.emplace(primitive.name(), &primitive);
    }
  }

  Result<Graph> Lower(std::vector<Weight> weights) {
    graph_.name = model_.graph().name();
    PIPESERVE_RETURN_IF_ERROR(ResolveOperators());
    for (const mindir::ValueInfoProto& input : model_.graph().input()) {
      PIPESERVE_RETURN_IF_ERROR(DefineInput(input));
    }
    for (Weight& weight : weights) {
      PIPESERVE_RETURN_IF_ERROR(edges_.Define(weight.name, Literal{std::move(weight.value)}));
    }
    for (int i = 0; i < model_.graph().node_size(); ++i) {
      const mindir::NodeProto& node = model_.graph().node(i);
      PIPESERVE_RETURN_IF_ERROR(LowerNode(node, operators_[static_cast<size_t>(i)]));
    }
    PIPESERVE_RETURN_IF_ERROR(DefineOutputs());
    return std::move(graph_);
  }

 private:
  static bool IsStructural(std::string_view op) {
    constexpr std::array<std::string_view, 6> kStructural = {
        "Constant", "Load", "Depend", "UpdateState", "MakeTuple", "TupleGetItem"};
    return std::find(kStructural.begin(), kStructural.end(), op) != kStructural.end();
  }

  Result<Operator> Resolve(const mindir::NodeProto& node) const {
    const std::string& type = node.op_type();
    if (!type.starts_with(kReference)) return Operator{type, &node.attribute()};
    const auto found = primitives_.find(type.substr(kReference.size()));
    if (found == primitives_.end()) {
      return InvalidArgument(StrCat(NodeName(node), ": operator ", Printable(type),
                                    " is not in the file's table of primitives"));
    }
    return Operator{found->second->op_type(), &found->second->attribute()};
  }

  // All of them before the first edge, so that what is not supported is named whatever else the
  // file holds.
  Status ResolveOperators() {
    for (const mindir::NodeProto& node : model_.graph().node()) {
      PIPESERVE_ASSIGN_OR_RETURN(Operator op, Resolve(node));
      if (!IsStructural(op.name) && !IsSupportedOperator(op.name)) {
        return Unimplemented(
            StrCat(NodeName(node), ": operator ", Printable(op.name), " is not supported"));
      }
      operators_.push_back(std::move(op));
    }
    return OkStatus();
  }

  Status DefineInput(const mindir::ValueInfoProto& input) {
    if (input.tensor_size() != 1) {
      return Unimplemented(StrCat("input ", Printable(input.name()), " is no tensor"));
    }
    const Result<TensorInfo> info = TensorInfoOf(input.tensor(0), input.name());
    if (!info.ok()) return info.status().WithContext("input");
    graph_.inputs.push_back(graph_.AddValue(*info));
    return edges_.Define(input.name(), graph_.inputs.back());
  }

  Status LowerNode(const mindir::NodeProto& node, const Operator& op) {
    if (node.output_size() != 1) {
      return InvalidArgument(
          StrCat(NodeName(node), " has ", node.output_size(), " outputs, 1 was wanted"));
    }
    std::vector<EdgeId> inputs;
    for (const std::string& name : node.input()) {
      const Result<EdgeId> edge = edges_.Find(name);
      if (!edge.ok()) return edge.status().WithContext(NodeName(node));
      inputs.push_back(*edge);
    }
    if (!IsStructural(op.name)) return LowerOperator(node, op, std::move(inputs));
    return LowerStructural(node, op.name, std::move(inputs)).WithContext(NodeName(node));
  }

  Status LowerStructural(const mindir::NodeProto& node, std::string_view op,
                         std::vector<EdgeId> inputs) {
    const std::string& output = node.output(0);
    if (op == "Constant") return DefineConstant(node);
    if (op == "UpdateState") return edges_.Define(output, Literal{});
    if (op == "MakeTuple") return edges_.Define(output, std::move(inputs));
    if (inputs.size() != 2) {
      return InvalidArgument(StrCat(op, " has ", inputs.size(), " inputs, 2 were wanted"));
    }
    if (op != "TupleGetItem") return edges_.Alias(output, inputs[0]);  // Load, Depend.

    PIPESERVE_ASSIGN_OR_RETURN(const std::vector<EdgeId> tuple, edges_.TupleAt(inputs[0]));
    PIPESERVE_ASSIGN_OR_RETURN(const Literal literal, edges_.LiteralAt(inputs[1]));
    PIPESERVE_ASSIGN_OR_RETURN(const int64_t index, IntOf(literal, "the index"));
    if (index < 0 || static_cast<size_t>(index) >= tuple.size()) {
      return InvalidArgument(StrCat("item ", index, " of a tuple of ", tuple.size()));
    }
    return edges_.Alias(output, tuple[static_cast<size_t>(index)]);
  }

  Status DefineConstant(const mindir::NodeProto& node) {
    for (const mindir::AttributeProto& attribute : node.attribute()) {
      if (attribute.name() != "value") continue;
      PIPESERVE_ASSIGN_OR_RETURN(Literal literal, LiteralOf(attribute));
      return edges_.Define(node.output(0), std::move(literal));
    }
    return InvalidArgument("a Constant has no value");
  }

  Status LowerOperator(const mindir::NodeProto& proto, const Operator& op,
                       std::vector<EdgeId> inputs) {
    OperatorUse use{op.name, NodeName(proto), {}, std::move(inputs)};
    for (const mindir::AttributeProto& attribute : *op.attributes) {
      // The result's shape, which 1.3 lists here without a name, is inferred instead.
      if (!attribute.name().empty()) use.attributes.emplace(attribute.name(), &attribute);
    }
    PIPESERVE_ASSIGN_OR_RETURN(Node node, ReadOperator(use, options_, graph_, edges_));
    std::vector<TensorInfo> operands;
    for (const ValueId id : node.inputs) operands.push_back(graph_.info(id));
    PIPESERVE_ASSIGN_OR_RETURN(std::vector<TensorInfo> results,
                               InferNode(node, operands, options_.rank_size));
    if (graph_.values.size() + results.size() > kMostValues) {
      return InvalidArgument(StrCat("the graph has more than ", kMostValues, " values"));
    }
    return DefineResults(proto.output(0), std::move(results), std::move(node));
  }

  Status DefineResults(const std::string& edge, std::vector<TensorInfo> results, Node node) {
    if (node.op == OpType::kSend) {
      graph_.nodes.push_back(std::move(node));
      sends_ = true;
      return edges_.Define(edge, Literal{});
    }
    // Split gives a tuple, even of one.
    const bool is_tuple = node.op == OpType::kSplit;
    std::vector<EdgeId> items;
    for (size_t i = 0; i < results.size(); ++i) {
      results[i].name = is_tuple ? StrCat(edge, ":", i) : edge;
      node.outputs[i] = graph_.AddValue(results[i]);
      if (is_tuple) items.push_back(edges_.Add(results[i].name, node.outputs[i]));
    }
    const ValueId first = node.outputs[0];
    graph_.nodes.push_back(std::move(node));
    return is_tuple ? edges_.Define(edge, std::move(items)) : edges_.Define(edge, first);
  }

  Status DefineOutputs() {
    if (model_.graph().output_size() != 1) {
      return InvalidArgument(
          StrCat("the graph has ", model_.graph().output_size(), " outputs, 1 was wanted"));
    }
    const mindir::ValueInfoProto& output = model_.graph().output(0);
    PIPESERVE_ASSIGN_OR_RETURN(const EdgeId edge, edges_.Find(output.name()));
    std::vector<EdgeId> results = {edge};
    if (edges_.IsTuple(edge)) {
      PIPESERVE_ASSIGN_OR_RETURN(results, edges_.TupleAt(edge));
    }
    for (const EdgeId result : results) {
      if (sends_ && edges_.IsNothing(result)) continue;
      PIPESERVE_ASSIGN_OR_RETURN(const ValueId id, edges_.TensorAt(result));
      graph_.outputs.push_back(id);
    }
    if (graph_.outputs.empty()) {
      return sends_ ? OkStatus() : InvalidArgument("the graph returns nothing");
    }
    return output.tensor_size() == 1 ? CheckDeclared(output.tensor(0)) : OkStatus();
  }

  // A lone output must be what the file declares, as far as that is known.
  Status CheckDeclared(const mindir::TensorProto& declared) const {
    PIPESERVE_ASSIGN_OR_RETURN(const TensorInfo wanted, TensorInfoOf(declared, "the output"));
    const TensorInfo& computed = graph_.info(graph_.outputs[0]);
    bool fits = graph_.outputs.size() == 1 && wanted.dtype == computed.dtype &&
                wanted.shape.rank() == computed.shape.rank();
    for (size_t i = 0; fits && i < wanted.shape.rank(); ++i) {
      const int64_t a = wanted.shape[i], b = computed.shape[i];
      fits = a == b || a == Shape::kUnknownDim || b == Shape::kUnknownDim;
    }
    if (fits) return OkStatus();
    return InvalidArgument(
        StrCat("the graph computes ", computed.ToString(), ", it declares ", wanted.ToString()));
  }

  const mindir::ModelProto& model_;
  const ReadOptions& options_;
  std::unordered_map<std::string, const mindir::PrimitiveProto*> primitives_;
  std::vector<Operator> operators_;  // One a node.
  Graph graph_;
  EdgeTable edges_;
  bool sends_ = false;  // What a Send gives is no result, but a graph may return it.
};

}  // namespace

Result<Graph> LowerGraph(const mindir::ModelProto& model, std::vector<Weight> weights,
                         const ReadOptions& options) {
  return Lowering(model, options).Lower(std::move(weights));
}

}  // namespace pipeserve
