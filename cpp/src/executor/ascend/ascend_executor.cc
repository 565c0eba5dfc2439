#include "executor/ascend/ascend_executor.h"

#include <cstring>
#include <set>
#include <utility>

#include "base/str_cat.h"
#include "executor/ascend/device_thread.h"
#include "executor/ascend/group_link.h"
#include "executor/ascend/plan.h"
#include "executor/loaded_graph.h"
#include "executor/plan_cache.h"

namespace pipeserve::ascend {
namespace {

// What can be told before there is a device.
Status CheckNode(const Node&, std::span<const TensorInfo> inputs) {
  for (const TensorInfo& input : inputs) {
    const Status status = ToAclType(input.dtype).status();
    if (!status.ok()) return status.WithContext(input.name);
  }
  return OkStatus();
}

struct DeviceGraph {
  explicit DeviceGraph(LoadedGraph graph) : loaded(std::move(graph)) {}

  const LoadedGraph loaded;
  Weights weights;
  std::shared_ptr<Plan> static_plan;  // Null when a dimension is unknown.
  PlanCache<Plan> plans;
};

// All that is on the device. Made, used and destroyed on the device's thread.
class DeviceState {
 public:
  static Result<std::unique_ptr<DeviceState>> Open(const AscendExecutorOptions& options) {
    PIPESERVE_ASSIGN_OR_RETURN(std::shared_ptr<const Library> library,
                               Library::Load(options.library));
    PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Device> device,
                               Device::Open(std::move(library), options.device));
    std::unique_ptr<DeviceState> state(new DeviceState(std::move(device), options));
    Result<Stream> stream = Stream::Create(*state->device_);
    if (!stream.ok()) {
      (void)state->Close();
      return stream.status();
    }
    state->stream_ = *std::move(stream);
    return state;
  }

  // Everything off the device, then the device itself.
  Status Close(std::span<const std::unique_ptr<DeviceGraph>> graphs = {}) {
    for (const auto& graph : graphs) {
      graph->static_plan.reset();
      graph->plans.Clear();
      graph->weights = Weights();
    }
    LeaveGroup();
    workspace_.Free();
    stream_ = Stream();
    return device_->Close();
  }

  Status Load(DeviceGraph& graph) {
    PIPESERVE_ASSIGN_OR_RETURN(graph.weights, Weights::Upload(*device_, graph.loaded.graph()));
    if (!graph.loaded.is_static()) return OkStatus();
    PIPESERVE_ASSIGN_OR_RETURN(graph.static_plan, MakePlan(graph, graph.loaded.infos()));
    return OkStatus();
  }

  Status Run(DeviceGraph& graph, std::span<const Tensor> inputs, std::span<const Buffer> places,
             std::vector<Tensor>* outputs) {
    PIPESERVE_RETURN_IF_ERROR(CheckHealth());
    PIPESERVE_ASSIGN_OR_RETURN(const std::shared_ptr<Plan> plan, PlanFor(graph, inputs));
    return plan->Run(stream_, workspace_, inputs, places, wait_, outputs);
  }

  void LeaveGroup() {
    collectives_.Clear();
    wait_.given_up = nullptr;
    link_.reset();
  }

  Status JoinGroup(std::shared_ptr<GroupLink> link,
                   std::span<const std::unique_ptr<DeviceGraph>> graphs) {
    LeaveGroup();
    PIPESERVE_RETURN_IF_ERROR(CheckHealth());
    link_ = std::move(link);
    wait_.given_up = &link_->given_up();
    for (const std::vector<int32_t>& ranks : GroupsOf(graphs)) {
      const Deadline deadline = Deadline::After(options_.call_limit);
      PIPESERVE_ASSIGN_OR_RETURN(HcclGroup group,
                                 ascend::JoinGroup(*device_, *link_, ranks, deadline));
      collectives_.Add(ranks, std::move(group));
    }
    for (const auto& graph : graphs) PIPESERVE_RETURN_IF_ERROR(WarmUp(*graph));
    return OkStatus();
  }

 private:
  DeviceState(std::unique_ptr<Device> device, const AscendExecutorOptions& options)
      : options_(options),
        device_(std::move(device)),
        wait_{options.call_limit},
        workspace_(*device_, stream_, wait_) {}

  Status CheckHealth() const {
    if (device_->health() == Health::kHealthy) return OkStatus();
    return Unavailable("the device has failed, this process must be restarted");
  }

  // The groups of more than this rank, in an order that all of them have.
  std::set<std::vector<int32_t>> GroupsOf(
      std::span<const std::unique_ptr<DeviceGraph>> graphs) const {
    std::set<std::vector<int32_t>> groups;
    for (const auto& graph : graphs) {
      for (const Node& node : graph->loaded.graph().nodes) {
        if (!IsCollective(node.op) || CollectiveMembers(node, options_.rank_size) == 1) continue;
        groups.insert(GroupRanks(node, options_.rank_size));
      }
    }
    return groups;
  }

  // Only graphs that meet others, and whose shapes are known.
  Status WarmUp(DeviceGraph& graph) {
    if (!graph.loaded.has_collectives() || graph.static_plan == nullptr) return OkStatus();
    std::vector<Tensor> inputs, outputs;
    for (const TensorInfo& info : graph.loaded.signature().inputs) {
      inputs.emplace_back(info.dtype, info.shape);
      std::memset(inputs.back().mutable_data(), 0, inputs.back().byte_size());
    }
    return graph.static_plan->Run(stream_, workspace_, inputs, {}, wait_, &outputs);
  }

  Result<std::shared_ptr<Plan>> MakePlan(DeviceGraph& graph, std::span<const TensorInfo> infos) {
    const PlanOptions options{options_.precision, options_.rank_size};
    PIPESERVE_ASSIGN_OR_RETURN(
        std::unique_ptr<Plan> plan,
        Plan::Build(*device_, graph.loaded.graph(), infos, graph.weights, collectives_, options));
    return std::shared_ptr<Plan>(std::move(plan));
  }

  Result<std::shared_ptr<Plan>> PlanFor(DeviceGraph& graph, std::span<const Tensor> inputs) {
    if (graph.static_plan != nullptr) return graph.static_plan;
    if (std::shared_ptr<Plan> known = graph.plans.Find(inputs)) return known;
    PIPESERVE_ASSIGN_OR_RETURN(const std::vector<TensorInfo> infos, graph.loaded.InfosFor(inputs));
    PIPESERVE_ASSIGN_OR_RETURN(std::shared_ptr<Plan> plan, MakePlan(graph, infos));
    graph.plans.Keep(inputs, plan);
    return plan;
  }

  const AscendExecutorOptions options_;
  const std::unique_ptr<Device> device_;
  WaitFor wait_;
  Stream stream_;
  Workspace workspace_;
  std::shared_ptr<GroupLink> link_;  // Of the epoch; null outside of one.
  Collectives collectives_;
};

}  // namespace

class AscendExecutor::Impl {
 public:
  ~Impl() {
    if (state_ == nullptr) return;
    (void)thread_.Do([this] { return state_->Close(graphs_); });  // Nobody is left to be told.
  }

  Status Load(std::vector<Graph> graphs, const AscendExecutorOptions& options) {
    for (Graph& graph : graphs) PIPESERVE_RETURN_IF_ERROR(Add(std::move(graph), options));
    return thread_.Do([&]() -> Status {
      PIPESERVE_ASSIGN_OR_RETURN(state_, DeviceState::Open(options));
      for (size_t id = 0; id < graphs_.size(); ++id) {
        const Status status = state_->Load(*graphs_[id]);
        if (!status.ok()) return status.WithContext(Title(id, graphs_[id]->loaded.graph()));
      }
      return OkStatus();
    });
  }

  Status Run(DeviceGraph& graph, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs) {
    PIPESERVE_RETURN_IF_ERROR(graph.loaded.CheckInputs(inputs));
    return thread_.Do([&] { return state_->Run(graph, inputs, context.places, outputs); },
                      context.deadline);
  }

  Status LeaveGroup() {
    return thread_.Do([this] {
      state_->LeaveGroup();
      return OkStatus();
    });
  }

  Result<std::shared_ptr<Communicator>> JoinGroup(std::shared_ptr<Communicator> communicator) {
    const auto link = std::make_shared<GroupLink>(std::move(communicator));
    PIPESERVE_RETURN_IF_ERROR(thread_.Do([&] { return state_->JoinGroup(link, graphs_); }));
    return std::shared_ptr<Communicator>(link);
  }

  const std::vector<std::unique_ptr<DeviceGraph>>& graphs() const { return graphs_; }

 private:
  static std::string Title(size_t id, const Graph& graph) {
    return StrCat("graph ", id, " (", graph.name, ")");
  }

  Status Add(Graph graph, const AscendExecutorOptions& options) {
    const std::string title = Title(graphs_.size(), graph);
    Result<LoadedGraph> loaded = LoadedGraph::Create(
        static_cast<GraphId>(graphs_.size()), std::move(graph), options.rank_size, &CheckNode);
    if (!loaded.ok()) return loaded.status().WithContext(title);
    graphs_.push_back(std::make_unique<DeviceGraph>(*std::move(loaded)));
    return OkStatus();
  }

  std::vector<std::unique_ptr<DeviceGraph>> graphs_;
  std::unique_ptr<DeviceState> state_;
  DeviceThread thread_;  // Last, so that it ends before what it works on.
};

AscendExecutor::AscendExecutor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AscendExecutor::~AscendExecutor() = default;

Result<std::unique_ptr<AscendExecutor>> AscendExecutor::Create(
    std::vector<Graph> graphs, const AscendExecutorOptions& options) {
  if (options.rank_size < 1) {
    return InvalidArgument(StrCat("rank_size is ", options.rank_size, ", wanted is at least 1"));
  }
  auto impl = std::make_unique<Impl>();
  PIPESERVE_RETURN_IF_ERROR(impl->Load(std::move(graphs), options));
  return std::unique_ptr<AscendExecutor>(new AscendExecutor(std::move(impl)));
}

int AscendExecutor::graph_count() const { return static_cast<int>(impl_->graphs().size()); }

const GraphSignature& AscendExecutor::signature(GraphId graph) const {
  return impl_->graphs()[static_cast<size_t>(graph)]->loaded.signature();
}

Status AscendExecutor::Run(GraphId graph, std::span<const Tensor> inputs,
                           const CallContext& context, std::vector<Tensor>* outputs) {
  if (graph < 0 || graph >= graph_count()) {
    return InvalidArgument(
        StrCat("there is no graph ", graph, ", the servable has ", graph_count()));
  }
  if (context.deadline.HasPassed()) {
    return DeadlineExceeded(StrCat("the deadline passed before graph ", graph, " ran"));
  }
  return impl_->Run(*impl_->graphs()[static_cast<size_t>(graph)], inputs, context, outputs);
}

void AscendExecutor::LeaveGroup() { (void)impl_->LeaveGroup(); }  // Never refused.

Result<std::shared_ptr<Communicator>> AscendExecutor::JoinGroup(
    std::shared_ptr<Communicator> communicator) {
  return impl_->JoinGroup(std::move(communicator));
}

}  // namespace pipeserve::ascend
