// MindIR in the encoding of MindSpore 1.3: operators and attributes inline, weights together.
#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/str_cat.h"
#include "graph/file_writer.h"
#include "graph/mindir_attributes.h"
#include "graph/model_file.h"
#include "mindir.pb.h"

namespace pipeserve {
namespace {

using Edge = std::string;

// Writes one graph; structural operators (Load, Depend, ...) come back in here.
class GraphWriter {
 public:
  GraphWriter(const Graph& graph, mindir::GraphProto& proto)
      : graph_(graph), proto_(proto), edges_(graph.values.size()) {}

  Status Write() {
    if (graph_.name.empty()) return InvalidArgument("a graph has no name");
    const bool sends =
        std::ranges::find(graph_.nodes, OpType::kSend, &Node::op) != graph_.nodes.end();
    if (graph_.outputs.empty() && !sends) {
      return InvalidArgument(StrCat("graph ", graph_.name, " has no output"));
    }
    proto_.set_name(graph_.name);
    for (const ValueId id : graph_.inputs) PIPESERVE_RETURN_IF_ERROR(WriteInput(id));
    for (const auto& [id, tensor] : graph_.constants) {
      PIPESERVE_RETURN_IF_ERROR(WriteParameter(id, tensor));
    }
    for (const Node& node : graph_.nodes) WriteNode(node);
    WriteOutput();
    return OkStatus();
  }

 private:
  Edge& EdgeOf(ValueId id) { return edges_[static_cast<size_t>(id)]; }
  int Number() { return ++count_; }

  // Names of inputs and parameters carry the graph's; a value that was read has it already.
  Edge Qualified(const std::string& name) const {
    const std::string prefix = graph_.name + ":";
    return name.starts_with(prefix) ? name : prefix + name;
  }

  Result<Edge> NamedEdge(const std::string& name) {
    const Edge edge = Qualified(name);
    if (edge.size() == graph_.name.size() + 1) {
      return InvalidArgument(StrCat("an input or constant of graph ", graph_.name, " has no name"));
    }
    if (!named_.insert(edge).second) {
      return InvalidArgument(StrCat("graph ", graph_.name, " uses the name ", name, " twice"));
    }
    return edge;
  }

  Status WriteInput(ValueId id) {
    const TensorInfo& info = graph_.info(id);
    PIPESERVE_ASSIGN_OR_RETURN(EdgeOf(id), NamedEdge(info.name));
    mindir::ValueInfoProto& input = *proto_.add_input();
    input.set_name(EdgeOf(id));
    SetTensorInfo(*input.add_tensor(), info.dtype, info.shape);
    return OkStatus();
  }

  // A parameter has no edge until something loads it.
  Status WriteParameter(ValueId id, const Tensor& tensor) {
    PIPESERVE_ASSIGN_OR_RETURN(const Edge name, NamedEdge(graph_.info(id).name));
    if (DataTypeSize(tensor.dtype()) == 0) {
      return InvalidArgument(
          StrCat("constant ", name, " is ", tensor.ToString(), ", which a model file cannot hold"));
    }
    mindir::TensorProto& parameter = *proto_.add_parameter();
    parameter.set_name(name);
    SetTensorInfo(parameter, tensor.dtype(), tensor.shape());
    parameter.set_raw_data(tensor.data(), tensor.byte_size());
    return OkStatus();
  }

  mindir::NodeProto& AddNode(std::string_view op, const std::vector<Edge>& inputs) {
    const int number = Number();
    mindir::NodeProto& node = *proto_.add_node();
    node.set_op_type(std::string(op));
    for (const Edge& input : inputs) node.add_input(input);
    Name(node, StrCat(graph_.name, ":[CNode]", number, ":", number));
    node.set_domain(StrCat("Default/", op, "-op", number));
    return node;
  }

  mindir::NodeProto& AddConstant() {
    const int number = Number();
    mindir::NodeProto& node = *proto_.add_node();
    node.set_op_type("Constant");
    Name(node, StrCat("[ValueNode]", number, ":", number));
    return node;
  }

  static void Name(mindir::NodeProto& node, const Edge& edge) {
    node.add_output(edge);
    node.set_name(edge);
  }

  Edge Integer(int64_t value) {
    mindir::NodeProto& node = AddConstant();
    AddInt(node, "value", value);
    return node.output(0);
  }

  Edge Tuple(std::span<const int64_t> values) {
    mindir::NodeProto& node = AddConstant();
    AddTuple(node, "value", values);
    return node.output(0);
  }

  Edge Type(DataType dtype) {
    mindir::NodeProto& node = AddConstant();
    AddType(node, "value", dtype);
    return node.output(0);
  }

  Edge Monad() {
    mindir::NodeProto& node = AddConstant();
    AddMonad(node);
    return node.output(0);
  }

  Edge MakeTuple(const std::vector<Edge>& edges, std::span<const TensorInfo> infos) {
    mindir::NodeProto& node = AddNode("MakeTuple", edges);
    AddShape(node, infos, /*is_tuple=*/true);
    return node.output(0);
  }

  // The edge of any value; a constant is loaded where it is used first.
  Edge Read(ValueId id) {
    const auto constant = graph_.constants.find(id);
    if (!EdgeOf(id).empty() || constant == graph_.constants.end()) return EdgeOf(id);
    mindir::NodeProto& node = AddNode("Load", {Qualified(graph_.info(id).name), Monad()});
    loaded_infos_.push_back({"", constant->second.dtype(), constant->second.shape()});
    AddShape(node, std::span(&loaded_infos_.back(), 1), /*is_tuple=*/false);
    loaded_.push_back(node.output(0));
    return EdgeOf(id) = node.output(0);
  }

  // Operands, and the attributes that MindIR passes as operands.
  std::vector<Edge> InputsOf(const Node& node) {
    std::vector<Edge> inputs;
    for (const ValueId id : node.inputs) inputs.push_back(Read(id));
    if (const auto* cast = std::get_if<CastAttributes>(&node.attributes)) {
      inputs.push_back(Type(cast->to));
    } else if (const auto* reduce = std::get_if<ReduceAttributes>(&node.attributes)) {
      inputs.push_back(Tuple(reduce->axes));
    } else if (const auto* reshape = std::get_if<ReshapeAttributes>(&node.attributes)) {
      inputs.push_back(Tuple(reshape->dims));
    } else if (const auto* transpose = std::get_if<TransposeAttributes>(&node.attributes)) {
      inputs.push_back(Tuple(transpose->perm));
    } else if (const auto* slice = std::get_if<StridedSliceAttributes>(&node.attributes)) {
      for (const auto* part : {&slice->begin, &slice->end, &slice->strides}) {
        inputs.push_back(Tuple(*part));
      }
    } else if (node.op == OpType::kConcat) {
      return {MakeTuple(inputs, InfosOf(node.inputs))};
    }
    return inputs;
  }

  void WriteNode(const Node& node) {
    const std::vector<Edge> inputs = InputsOf(node);
    // What a Send gives stands for what it sends.
    const bool is_send = node.op == OpType::kSend;
    const std::vector<TensorInfo> infos = InfosOf(is_send ? node.inputs : node.outputs);
    const bool is_tuple = node.op == OpType::kSplit;
    mindir::NodeProto& proto = AddNode(OpTypeName(node.op), inputs);
    AddShape(proto, infos, is_tuple);
    AddOperatorAttributes(proto, node);
    const Edge result = proto.output(0);
    if (is_send) return sends_.push_back({result, infos.front()});
    for (size_t i = 0; i < infos.size(); ++i) {
      EdgeOf(node.outputs[i]) = is_tuple ? TupleItem(result, i, infos[i]) : result;
    }
  }

  Edge TupleItem(const Edge& tuple, size_t index, const TensorInfo& info) {
    const Edge position = Integer(static_cast<int64_t>(index));
    mindir::NodeProto& node = AddNode("TupleGetItem", {tuple, position});
    AddShape(node, std::span(&info, 1), /*is_tuple=*/false);
    return node.output(0);
  }

  // The graph returns one edge; it waits for the loads, which is how MindSpore orders them before
  // any later write to a parameter, and for what is sent, which is all there is without an output.
  void WriteOutput() {
    std::vector<TensorInfo> infos = InfosOf(graph_.outputs);
    std::vector<Edge> results;
    for (const ValueId id : graph_.outputs) results.push_back(Read(id));
    std::vector<Edge> sent;
    for (const auto& [edge, info] : sends_) {
      sent.push_back(edge);
      if (graph_.outputs.empty()) infos.push_back(info);
    }
    const bool is_tuple = infos.size() > 1;
    if (graph_.outputs.empty()) results = sent;
    Edge result = is_tuple ? MakeTuple(results, infos) : results.front();
    if (!loaded_.empty()) result = Depend(result, LoadsDone(), infos, is_tuple);
    if (!graph_.outputs.empty()) {
      for (const Edge& send : sent) result = Depend(result, send, infos, is_tuple);
    }
    mindir::ValueInfoProto& output = *proto_.add_output();
    output.set_name(result);
    if (is_tuple) {
      output.set_denotation(StrCat("Tuple:", infos.size()));
    } else {
      SetTensorInfo(*output.add_tensor(), infos.front().dtype, infos.front().shape);
    }
  }

  Edge LoadsDone() {
    const Edge loads = loaded_.size() == 1 ? loaded_.front() : MakeTuple(loaded_, loaded_infos_);
    mindir::NodeProto& update = AddNode("UpdateState", {Monad(), loads});
    AddMonadShape(update);
    return update.output(0);
  }

  Edge Depend(const Edge& value, const Edge& before, std::span<const TensorInfo> infos,
              bool is_tuple) {
    mindir::NodeProto& depend = AddNode("Depend", {value, before});
    AddShape(depend, infos, is_tuple);
    AddInt(depend, "side_effect_propagate", 1);
    return depend.output(0);
  }

  std::vector<TensorInfo> InfosOf(const std::vector<ValueId>& ids) const {
    std::vector<TensorInfo> infos;
    for (const ValueId id : ids) infos.push_back(graph_.info(id));
    return infos;
  }

  const Graph& graph_;
  mindir::GraphProto& proto_;
  std::vector<Edge> edges_;  // Indexed by ValueId.
  std::set<Edge> named_;     // Edges of inputs and parameters.
  std::vector<std::pair<Edge, TensorInfo>> sends_;
  std::vector<Edge> loaded_;
  std::vector<TensorInfo> loaded_infos_;
  int count_ = 0;
};

}  // namespace

Status WriteMindir(const Graph& graph, const std::filesystem::path& path) {
  mindir::ModelProto model;
  model.set_ir_version("0.1.0");
  model.set_producer_name("MindSpore");
  model.set_model_version("1.1.0");
  const Status status = GraphWriter(graph, *model.mutable_graph()).Write();
  if (!status.ok()) return status.WithContext(path.string());
  return WriteMessage(path, model);
}

}  // namespace pipeserve
