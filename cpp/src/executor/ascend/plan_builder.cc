#include "executor/ascend/plan_builder.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/str_cat.h"
#include "executor/loaded_graph.h"
#include "graph/shape_inference.h"

namespace pipeserve::ascend {
namespace {

bool SharesItsInput(OpType op) {
  return op == OpType::kReshape || op == OpType::kTranspose || op == OpType::kSplit ||
         op == OpType::kStridedSlice;
}

size_t AxisOf(const Node& node, size_t rank) {
  const int64_t axis = std::get<AxisAttributes>(node.attributes).axis;
  return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
}

View Swapped(const View& matrix, bool swap) { return swap ? matrix.Transposed({1, 0}) : matrix; }

// The dimensions that are left of `sizes` when some of size 1 are dropped and others added.
View WithDims(View view, const Shape& wanted) {
  std::vector<int64_t> strides;
  size_t next = 0;
  for (const int64_t dim : wanted.dims()) {
    while (dim != 1 && next < view.dims.size() && view.dims[next] == 1) ++next;
    strides.push_back(dim == 1 || next == view.dims.size() ? 1 : view.strides[next++]);
  }
  view.dims = DimsOf(wanted);
  view.strides = std::move(strides);
  return view;
}

}  // namespace

PlanBuilder::PlanBuilder(Device& device, const Graph& graph, std::span<const TensorInfo> infos,
                         const Weights& weights, const Collectives& collectives,
                         const PlanOptions& options, Plan* plan)
    : device_(device),
      graph_(graph),
      infos_(infos),
      weights_(weights),
      collectives_(collectives),
      options_(options),
      plan_(plan),
      places_(graph.values.size()),
      roots_(graph.values.size()),
      last_uses_(graph.values.size(), 0),
      ranges_(graph.values.size()) {}

Status PlanBuilder::Build() {
  PIPESERVE_RETURN_IF_ERROR(CheckSizes());
  FindRoots();
  FindLastUses();
  PIPESERVE_RETURN_IF_ERROR(PlaceInputsAndWeights());
  PIPESERVE_RETURN_IF_ERROR(AddNodes());
  PIPESERVE_RETURN_IF_ERROR(AddOutputs());
  return MakeSteps();
}

// So that no sum of sizes can overflow. What a device has not it refuses by itself.
Status PlanBuilder::CheckSizes() const {
  size_t total = 0;
  for (const TensorInfo& info : infos_) {
    const int64_t bytes = info.byte_size();
    if (bytes < 0 || static_cast<size_t>(bytes) > WorkspaceLayout::kMaxBytes - total) {
      return ResourceExhausted(StrCat("value ", info.name, " is ", info.ToString(),
                                      ", which is more than can be planned"));
    }
    total += static_cast<size_t>(bytes);
  }
  return OkStatus();
}

void PlanBuilder::FindRoots() {
  std::iota(roots_.begin(), roots_.end(), size_t{0});
  for (const Node& node : graph_.nodes) {
    const bool alone = IsCollective(node.op) && CollectiveMembers(node, options_.rank_size) == 1;
    if (!SharesItsInput(node.op) && !alone) continue;
    for (const ValueId output : node.outputs) {
      roots_[static_cast<size_t>(output)] = RootOf(node.inputs[0]);
    }
  }
}

void PlanBuilder::FindLastUses() {
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    for (const ValueId id : graph_.nodes[i].inputs) last_uses_[RootOf(id)] = i;
    for (const ValueId id : graph_.nodes[i].outputs) last_uses_[RootOf(id)] = i;
  }
  // The next call may take an input of this one, and then finds it where it is.
  for (const ValueId id : graph_.inputs) last_uses_[RootOf(id)] = kNever;
  for (const ValueId id : graph_.outputs) last_uses_[RootOf(id)] = kNever;
}

Status PlanBuilder::PlaceInputsAndWeights() {
  for (const auto& [id, tensor] : graph_.constants) PlaceOf(id).view = weights_.Of(id);
  for (const ValueId id : graph_.inputs) {
    PIPESERVE_RETURN_IF_ERROR(ToAclType(Info(id).dtype).status().WithContext(Info(id).name));
    input_places_.push_back(PlaceNew(id));
  }
  return OkStatus();
}

Status PlanBuilder::AddNodes() {
  for (size_t i = 0; i < graph_.nodes.size(); ++i) {
    const Node& node = graph_.nodes[i];
    Status status = device_.product().CheckOperator(node.op);
    if (status.ok()) status = AddNode(node);
    if (!status.ok()) return status.WithContext(StrCat(OpTypeName(node.op), " ", node.name));
    Release(i);
  }
  return OkStatus();
}

Status PlanBuilder::AddNode(const Node& node) {
  const auto binary = [&](StepResult (*make)(Device&, const View&, const View&, const View&)) {
    Add({PlaceOf(node.inputs[0]), PlaceOf(node.inputs[1]), PlaceNew(node.outputs[0])},
        [this, make](std::span<const View> views) {
          return make(device_, views[0], views[1], views[2]);
        });
    return OkStatus();
  };
  const auto unary = [&](StepResult (*make)(Device&, const View&, const View&)) {
    Add({PlaceOf(node.inputs[0]), PlaceNew(node.outputs[0])},
        [this, make](std::span<const View> views) { return make(device_, views[0], views[1]); });
    return OkStatus();
  };
  switch (node.op) {
    case OpType::kMatMul:
      return AddMatMul(node);
    case OpType::kNeg:
      return unary(&MakeNeg);
    case OpType::kReLU:
      return unary(&MakeRelu);
    case OpType::kCast:
      return unary(&MakeCast);
    case OpType::kAdd:
      return binary(&MakeAdd);
    case OpType::kSub:
      return binary(&MakeSub);
    case OpType::kMul:
      return binary(&MakeMul);
    case OpType::kBiasAdd:
      return AddBiasAdd(node);
    case OpType::kReduceSum:
      return AddReduceSum(node);
    case OpType::kReshape:
      return AddReshape(node);
    case OpType::kTranspose:
      PlaceOf(node.outputs[0]) = PlaceOf(node.inputs[0]);
      PlaceOf(node.outputs[0]).view =
          PlaceOf(node.inputs[0])
              .view.Transposed(std::get<TransposeAttributes>(node.attributes).perm);
      return OkStatus();
    case OpType::kConcat:
      return AddConcat(node);
    case OpType::kSplit:
      return AddSplit(node);
    case OpType::kStridedSlice:
      return AddSlice(node);
    case OpType::kAllReduce:
    case OpType::kAllGather:
      return AddCollective(node);
    case OpType::kSend:
    case OpType::kReceive:
      break;  // Refused when the graph was loaded.
  }
  return Unimplemented("there is no such operator on the device");
}

Status PlanBuilder::AddMatMul(const Node& node) {
  PIPESERVE_RETURN_IF_ERROR(
      device_.product().CheckMatMul(Info(node.inputs[0]).dtype, options_.precision));
  const auto& attributes = std::get<MatMulAttributes>(node.attributes);
  Add({PlaceOf(node.inputs[0]), PlaceOf(node.inputs[1]), PlaceNew(node.outputs[0])},
      [this, attributes](std::span<const View> views) {
        return MakeMatMul(device_, Swapped(views[0], attributes.transpose_a),
                          Swapped(views[1], attributes.transpose_b), views[2], options_.precision);
      });
  return OkStatus();
}

// The bias lies along dimension 1, so it has as many dimensions of size 1 behind it as are left.
Status PlanBuilder::AddBiasAdd(const Node& node) {
  const size_t rank = Info(node.inputs[0]).shape.rank();
  Add({PlaceOf(node.inputs[0]), PlaceOf(node.inputs[1]), PlaceNew(node.outputs[0])},
      [this, rank](std::span<const View> views) {
        View bias = views[1];
        bias.dims.resize(rank - 1, 1);
        bias.strides.resize(rank - 1, 1);
        return MakeAdd(device_, views[0], bias, views[2]);
      });
  return OkStatus();
}

Status PlanBuilder::AddReduceSum(const Node& node) {
  const auto& attributes = std::get<ReduceAttributes>(node.attributes);
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<bool> summed,
                             ResolveReduction(attributes, Info(node.inputs[0]).shape));
  std::vector<int64_t> axes;
  for (size_t i = 0; i < summed.size(); ++i) {
    if (summed[i]) axes.push_back(static_cast<int64_t>(i));
  }
  Add({PlaceOf(node.inputs[0]), PlaceNew(node.outputs[0])},
      [this, axes, keep = attributes.keep_dims](std::span<const View> views) {
        return MakeReduceSum(device_, views[0], axes, keep, views[1]);
      });
  return OkStatus();
}

Status PlanBuilder::AddReshape(const Node& node) {
  PIPESERVE_ASSIGN_OR_RETURN(Place place, Whole(node.inputs[0], PlaceOf(node.inputs[0])));
  place.view = place.view.Reshaped(DimsOf(Info(node.outputs[0]).shape));
  PlaceOf(node.outputs[0]) = std::move(place);
  return OkStatus();
}

Status PlanBuilder::AddConcat(const Node& node) {
  const Place to = PlaceNew(node.outputs[0]);
  const size_t axis = AxisOf(node, to.view.dims.size());
  int64_t begin = 0;
  for (const ValueId id : node.inputs) {
    Place part = to;
    const int64_t size = PlaceOf(id).view.dims[axis];
    part.view = to.view.Part(axis, begin, size);
    begin += size;
    Add({PlaceOf(id), std::move(part)},
        [this](std::span<const View> views) { return MakeCopy(device_, views[0], views[1]); });
  }
  return OkStatus();
}

Status PlanBuilder::AddSplit(const Node& node) {
  const Place from = PlaceOf(node.inputs[0]);
  const size_t axis = AxisOf(node, from.view.dims.size());
  int64_t begin = 0;
  for (const ValueId id : node.outputs) {
    Place part = from;
    const int64_t size = Info(id).shape[axis];
    part.view = from.view.Part(axis, begin, size);
    begin += size;
    PlaceOf(id) = std::move(part);
  }
  return OkStatus();
}

Status PlanBuilder::AddSlice(const Node& node) {
  Place place = PlaceOf(node.inputs[0]);
  PIPESERVE_ASSIGN_OR_RETURN(
      const SliceSpec slice,
      ResolveSlice(std::get<StridedSliceAttributes>(node.attributes), Info(node.inputs[0]).shape));
  for (size_t i = 0; i < slice.strides.size(); ++i) {
    if (slice.strides[i] < 0) {
      return Unimplemented(StrCat("a stride of ", slice.strides[i],
                                  " is none that a tensor on the device can have"));
    }
    if (slice.sizes[i] > 0) place.view = place.view.Part(i, slice.begin[i], slice.sizes[i]);
    place.view.dims[i] = slice.sizes[i];
    place.view.strides[i] *= slice.strides[i];
  }
  place.view = WithDims(std::move(place.view), slice.output);
  PlaceOf(node.outputs[0]) = std::move(place);
  return OkStatus();
}

Status PlanBuilder::AddCollective(const Node& node) {
  if (CollectiveMembers(node, options_.rank_size) == 1) {
    PlaceOf(node.outputs[0]) = PlaceOf(node.inputs[0]);
    return OkStatus();
  }
  PIPESERVE_ASSIGN_OR_RETURN(Place from, Whole(node.inputs[0], PlaceOf(node.inputs[0])));
  const auto make = node.op == OpType::kAllReduce ? &MakeAllReduce : &MakeAllGather;
  Add({std::move(from), PlaceNew(node.outputs[0])},
      [this, make, ranks = GroupRanks(node, options_.rank_size)](std::span<const View> views) {
        return make(device_, collectives_, ranks, views[0], views[1]);
      });
  return OkStatus();
}

Status PlanBuilder::AddOutputs() {
  for (const ValueId id : graph_.outputs) {
    PIPESERVE_ASSIGN_OR_RETURN(Place place, Whole(id, PlaceOf(id)));
    output_places_.push_back(std::move(place));
  }
  return OkStatus();
}

const PlanBuilder::Place& PlanBuilder::PlaceNew(ValueId id) {
  return PlaceOf(id) = NewPlace(id, Info(id));
}

PlanBuilder::Place PlanBuilder::NewPlace(ValueId root_of, const TensorInfo& info) {
  const size_t room = RoomFor(static_cast<size_t>(info.byte_size()));
  Place place;
  place.in_arena = true;
  place.begin = layout_.Take(room);
  place.view = View::Whole(nullptr, info.dtype, DimsOf(info.shape));
  ranges_[RootOf(root_of)].push_back({place.begin, room});
  return place;
}

Result<PlanBuilder::Place> PlanBuilder::Whole(ValueId id, const Place& place) {
  if (place.view.is_whole()) return place;
  Place copy = NewPlace(id, Info(id));
  Add({place, copy},
      [this](std::span<const View> views) { return MakeCopy(device_, views[0], views[1]); });
  return copy;
}

// An operator on nothing has nothing to do.
void PlanBuilder::Add(std::vector<Place> operands, MakeStep make) {
  if (operands.back().view.element_count() == 0) return;
  pending_.push_back({std::move(operands), std::move(make)});
}

// The memory of values that node `node_index` was the last to use.
void PlanBuilder::Release(size_t node_index) {
  const auto release = [&](ValueId id) {
    const size_t root = RootOf(id);
    if (last_uses_[root] != node_index) return;
    for (const Range& range : std::exchange(ranges_[root], {})) {
      layout_.Give(range.begin, range.bytes);
    }
  };
  for (const ValueId id : graph_.nodes[node_index].inputs) release(id);
  for (const ValueId id : graph_.nodes[node_index].outputs) release(id);
}

Status PlanBuilder::MakeSteps() {
  if (layout_.size() > 0) {
    PIPESERVE_ASSIGN_OR_RETURN(plan_->arena_, DeviceBlock::Allocate(device_, layout_.size()));
  }
  const auto resolve = [this](const Place& place) {
    View view = place.view;
    if (place.in_arena) view.data = plan_->arena_.data() + place.begin;
    return view;
  };
  for (const Pending& pending : pending_) {
    std::vector<View> views;
    for (const Place& place : pending.operands) views.push_back(resolve(place));
    PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Step> step, pending.make(views));
    plan_->steps_.push_back(std::move(step));
  }
  const auto port = [&](const TensorInfo& info, const Place& place) {
    return Port{info, resolve(place).data, static_cast<size_t>(info.byte_size())};
  };
  std::vector<Port> inputs, outputs;
  for (size_t i = 0; i < graph_.inputs.size(); ++i) {
    inputs.push_back(port(Info(graph_.inputs[i]), input_places_[i]));
  }
  for (size_t i = 0; i < graph_.outputs.size(); ++i) {
    outputs.push_back(port(Info(graph_.outputs[i]), output_places_[i]));
  }
  return plan_->SetPorts(device_, std::move(inputs), std::move(outputs));
}

}  // namespace pipeserve::ascend
