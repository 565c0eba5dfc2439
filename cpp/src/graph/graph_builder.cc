#include "pipeserve/graph_builder.h"

#include <filesystem>
#include <map>
#include <set>
#include <system_error>

#include "base/str_cat.h"
#include "graph/graph.h"
#include "graph/model_file.h"
#include "graph/shape_inference.h"
#include "graph/sharding.h"

namespace pipeserve {
namespace {

// More parts than this are a mistake: each is a value of its own.
constexpr int64_t kMaxParts = 1 << 16;

std::vector<int64_t> ToVector(std::span<const int64_t> values) {
  return {values.begin(), values.end()};
}

// Groups that other graphs of the same servable have put into the group file.
Status MergeGroups(const std::filesystem::path& path, GroupMap& groups) {
  Result<GroupMap> existing = ReadGroupFile(path);
  if (existing.status().code() == StatusCode::kNotFound) return OkStatus();
  if (!existing.ok()) return existing.status();
  for (const auto& [name, ranks] : *existing) {
    const auto [entry, added] = groups.emplace(name, ranks);
    if (added || entry->second == ranks) continue;
    return InvalidArgument(StrCat(path.string(), " says that group ", name, " is ",
                                  StrJoin(ranks, "-"), ", the graph wants ",
                                  StrJoin(entry->second, "-")));
  }
  return OkStatus();
}

Status CreateDirectory(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return OkStatus();
  return Unavailable(StrCat("cannot create ", path.string(), ": ", error.message()));
}

}  // namespace

struct GraphBuilder::Impl {
  Graph graph;
  std::map<size_t, Strategy> strategies;  // By index of the node.
  std::vector<int> stages;                // By index of the node.
  int stage = 0;                          // Of the next one.
  std::set<std::string> names;            // Of inputs and parameters.

  Status TakeName(const std::string& name) {
    if (name.empty())
      return InvalidArgument(StrCat("a value of graph ", graph.name, " has no name"));
    if (names.insert(name).second) return OkStatus();
    return InvalidArgument(StrCat("graph ", graph.name, " uses the name ", name, " twice"));
  }

  Status CheckValue(Value id) const {
    if (id >= 0 && static_cast<size_t>(id) < graph.values.size()) return OkStatus();
    return InvalidArgument(
        StrCat(id, " is no value of graph ", graph.name, ", which has ", graph.values.size()));
  }

  // Appends a node with `results` results when its operands fit.
  Result<std::vector<Value>> Append(OpType op, std::span<const Value> operands,
                                    Attributes attributes, const ShardStrategy& strategy = {},
                                    size_t results = 1) {
    Node node{op,
              StrCat(OpTypeName(op), "-op", graph.nodes.size()),
              {operands.begin(), operands.end()},
              {},
              std::move(attributes)};
    std::vector<TensorInfo> infos;
    for (const Value id : operands) {
      const Status status = CheckValue(id);
      if (!status.ok()) return status.WithContext(node.name);
      infos.push_back(graph.info(id));
    }
    node.outputs.assign(results, 0);
    PIPESERVE_ASSIGN_OR_RETURN(std::vector<TensorInfo> outputs, InferNode(node, infos, 1));
    for (size_t i = 0; i < results; ++i) {
      outputs[i].name = results == 1 ? node.name : StrCat(node.name, ".", i);
      node.outputs[i] = graph.AddValue(std::move(outputs[i]));
    }
    if (!strategy.empty()) strategies[graph.nodes.size()] = strategy;
    std::vector<Value> values = node.outputs;
    graph.nodes.push_back(std::move(node));
    stages.push_back(stage);
    return values;
  }

  Result<Value> AppendOne(OpType op, std::initializer_list<Value> operands,
                          Attributes attributes = {}, const ShardStrategy& strategy = {}) {
    PIPESERVE_ASSIGN_OR_RETURN(
        const std::vector<Value> values,
        Append(op, std::span(operands.begin(), operands.size()), std::move(attributes), strategy));
    return values.front();
  }

  Status CheckOutputs() const {
    if (!graph.outputs.empty()) return OkStatus();
    return InvalidArgument(StrCat("graph ", graph.name, " has no output"));
  }
};

GraphBuilder::GraphBuilder(std::string name) : impl_(std::make_unique<Impl>()) {
  impl_->graph.name = std::move(name);
}
GraphBuilder::~GraphBuilder() = default;
GraphBuilder::GraphBuilder(GraphBuilder&&) noexcept = default;

Result<GraphBuilder::Value> GraphBuilder::Input(const std::string& name, DataType dtype,
                                                const Shape& shape) {
  PIPESERVE_ASSIGN_OR_RETURN(const Shape checked, Shape::Create(shape.dims()));
  if (DataTypeSize(dtype) == 0) {
    return InvalidArgument(StrCat("input ", name, " is ", dtype, ", a number was wanted"));
  }
  PIPESERVE_RETURN_IF_ERROR(impl_->TakeName(name));
  const Value id = impl_->graph.AddValue({name, dtype, checked});
  impl_->graph.inputs.push_back(id);
  return id;
}

Result<GraphBuilder::Value> GraphBuilder::Parameter(const std::string& name, const Tensor& weight) {
  const Result<Tensor> checked = Tensor::Create(weight.dtype(), weight.shape(), weight.buffer());
  if (!checked.ok()) return checked.status().WithContext(StrCat("parameter ", name));
  PIPESERVE_RETURN_IF_ERROR(impl_->TakeName(name));
  const Value id = impl_->graph.AddValue({name, weight.dtype(), weight.shape()});
  impl_->graph.constants[id] = weight;
  return id;
}

Result<GraphBuilder::Value> GraphBuilder::MatMul(Value a, Value b, bool transpose_a,
                                                 bool transpose_b, const ShardStrategy& strategy) {
  return impl_->AppendOne(OpType::kMatMul, {a, b}, MatMulAttributes{transpose_a, transpose_b},
                          strategy);
}

Result<GraphBuilder::Value> GraphBuilder::Neg(Value x, const ShardStrategy& strategy) {
  return impl_->AppendOne(OpType::kNeg, {x}, {}, strategy);
}

Result<GraphBuilder::Value> GraphBuilder::ReLU(Value x, const ShardStrategy& strategy) {
  return impl_->AppendOne(OpType::kReLU, {x}, {}, strategy);
}

Result<GraphBuilder::Value> GraphBuilder::Add(Value a, Value b, const ShardStrategy& strategy) {
  return impl_->AppendOne(OpType::kAdd, {a, b}, {}, strategy);
}

Result<GraphBuilder::Value> GraphBuilder::Sub(Value a, Value b, const ShardStrategy& strategy) {
  return impl_->AppendOne(OpType::kSub, {a, b}, {}, strategy);
}

Result<GraphBuilder::Value> GraphBuilder::Mul(Value a, Value b, const ShardStrategy& strategy) {
  return impl_->AppendOne(OpType::kMul, {a, b}, {}, strategy);
}

Result<GraphBuilder::Value> GraphBuilder::BiasAdd(Value x, Value bias,
                                                  const ShardStrategy& strategy) {
  return impl_->AppendOne(OpType::kBiasAdd, {x, bias}, {}, strategy);
}

Result<GraphBuilder::Value> GraphBuilder::Cast(Value x, DataType to,
                                               const ShardStrategy& strategy) {
  return impl_->AppendOne(OpType::kCast, {x}, CastAttributes{to}, strategy);
}

Result<GraphBuilder::Value> GraphBuilder::Reshape(Value x, std::span<const int64_t> dims) {
  return impl_->AppendOne(OpType::kReshape, {x}, ReshapeAttributes{ToVector(dims)});
}

Result<GraphBuilder::Value> GraphBuilder::Transpose(Value x, std::span<const int64_t> perm) {
  return impl_->AppendOne(OpType::kTranspose, {x}, TransposeAttributes{ToVector(perm)});
}

Result<GraphBuilder::Value> GraphBuilder::Concat(std::span<const Value> parts, int64_t axis) {
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<Value> values,
                             impl_->Append(OpType::kConcat, parts, AxisAttributes{axis}));
  return values.front();
}

Result<std::vector<GraphBuilder::Value>> GraphBuilder::Split(Value x, int64_t axis, int64_t count) {
  if (count < 1 || count > kMaxParts) {
    return InvalidArgument(
        StrCat("Split into ", count, " parts, 1 to ", kMaxParts, " are possible"));
  }
  return impl_->Append(OpType::kSplit, std::span(&x, 1), AxisAttributes{axis}, {},
                       static_cast<size_t>(count));
}

Result<GraphBuilder::Value> GraphBuilder::StridedSlice(Value x, std::span<const int64_t> begin,
                                                       std::span<const int64_t> end,
                                                       std::span<const int64_t> strides,
                                                       const StridedSliceMasks& masks) {
  return impl_->AppendOne(
      OpType::kStridedSlice, {x},
      StridedSliceAttributes{ToVector(begin), ToVector(end), ToVector(strides), masks.begin,
                             masks.end, masks.ellipsis, masks.new_axis, masks.shrink_axis});
}

void GraphBuilder::SetStage(int stage) { impl_->stage = stage; }

Status GraphBuilder::Output(Value x) {
  PIPESERVE_RETURN_IF_ERROR(impl_->CheckValue(x));
  impl_->graph.outputs.push_back(x);
  return OkStatus();
}

Result<TensorInfo> GraphBuilder::Info(Value x) const {
  PIPESERVE_RETURN_IF_ERROR(impl_->CheckValue(x));
  return impl_->graph.info(x);
}

Status GraphBuilder::Save(const std::string& path) const {
  PIPESERVE_RETURN_IF_ERROR(impl_->CheckOutputs());
  return WriteMindir(impl_->graph, path);
}

Status GraphBuilder::SaveSharded(const std::string& directory, int rank_size,
                                 const StageOptions& options) const {
  PIPESERVE_RETURN_IF_ERROR(impl_->CheckOutputs());
  const std::string& name = impl_->graph.name;
  if (name.empty() || name.find('/') != std::string::npos) {
    return InvalidArgument(StrCat("graph name '", name, "' cannot be the name of a file"));
  }
  const Stages stages{.count = options.stages,
                      .of_nodes = impl_->stages,
                      .all_take_inputs = options.all_stages_take_inputs};
  PIPESERVE_ASSIGN_OR_RETURN(ShardedGraph sharded,
                             ShardGraph(impl_->graph, impl_->strategies, rank_size, stages));
  const auto folder = [&](size_t rank) {
    return std::filesystem::path(directory) / StrCat("device", rank);
  };
  for (size_t rank = 0; rank < sharded.ranks.size(); ++rank) {
    PIPESERVE_RETURN_IF_ERROR(MergeGroups(folder(rank) / "group_config.pb", sharded.groups[rank]));
  }
  for (size_t rank = 0; rank < sharded.ranks.size(); ++rank) {
    PIPESERVE_RETURN_IF_ERROR(CreateDirectory(folder(rank)));
    PIPESERVE_RETURN_IF_ERROR(
        WriteMindir(sharded.ranks[rank], folder(rank) / StrCat(name, ".mindir")));
    PIPESERVE_RETURN_IF_ERROR(
        WriteGroupFile(folder(rank) / "group_config.pb", sharded.groups[rank]));
  }
  return OkStatus();
}

}  // namespace pipeserve
