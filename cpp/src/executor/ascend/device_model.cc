#include "executor/ascend/device_model.h"

#include <utility>

#include "base/str_cat.h"
#include "executor/input_check.h"

namespace pipeserve::ascend {
namespace {

// What can be told of a node before there is a device.
Status CheckNode(const Node& node, std::span<const TensorInfo> inputs) {
  if (IsMessage(node.op)) {
    return Unimplemented(
        StrCat(OpTypeName(node.op), " ", node.name,
               ": stages run on CPUs, messages between devices are not supported"));
  }
  for (const TensorInfo& input : inputs) {
    const Status status = ToAclType(input.dtype).status();
    if (!status.ok()) return status.WithContext(input.name);
  }
  if (const auto* cast = std::get_if<CastAttributes>(&node.attributes)) {
    PIPESERVE_RETURN_IF_ERROR(ToAclType(cast->to).status().WithContext(node.name));
  }
  return OkStatus();
}

class GraphModel final : public DeviceModel {
 public:
  GraphModel(LoadedGraph graph, const PlanOptions& options)
      : graph_(std::move(graph)), options_(options) {}

  const GraphSignature& signature() const override { return graph_.signature(); }
  Status CheckInputs(std::span<const Tensor> inputs) const override {
    return graph_.CheckInputs(inputs);
  }
  bool is_static() const override { return graph_.is_static(); }

  Status Load(Device& device, const Collectives& collectives, size_t slots) override {
    device_ = &device;
    collectives_ = &collectives;
    PIPESERVE_ASSIGN_OR_RETURN(weights_, Weights::Upload(device, graph_.graph()));
    for (size_t i = 0; i < slots; ++i) {
      slots_.push_back(std::make_unique<Plans>());
      if (!graph_.is_static()) continue;
      PIPESERVE_ASSIGN_OR_RETURN(slots_.back()->of_static, MakePlan(graph_.infos()));
    }
    return OkStatus();
  }

  void Unload() override {
    slots_.clear();
    weights_ = Weights();
  }

  Result<std::shared_ptr<Program>> Find(std::span<const Tensor> inputs, size_t slot) override {
    Plans& plans = *slots_[slot];
    if (plans.of_static != nullptr) return std::shared_ptr<Program>(plans.of_static);
    std::shared_ptr<Plan> plan = plans.of_shapes.Find(inputs);
    if (plan == nullptr) {
      PIPESERVE_ASSIGN_OR_RETURN(const std::vector<TensorInfo> infos, graph_.InfosFor(inputs));
      PIPESERVE_ASSIGN_OR_RETURN(plan, MakePlan(infos));
      plans.of_shapes.Keep(inputs, plan);
    }
    return std::shared_ptr<Program>(std::move(plan));
  }

  std::set<std::vector<int32_t>> groups() const override {
    std::set<std::vector<int32_t>> groups;
    for (const Node& node : graph_.graph().nodes) {
      if (!IsCollective(node.op) || CollectiveMembers(node, options_.rank_size) == 1) continue;
      groups.insert(GroupRanks(node, options_.rank_size));
    }
    return groups;
  }

 private:
  // Of one slot.
  struct Plans {
    std::shared_ptr<Plan> of_static;  // Null when a dimension is unknown.
    PlanCache<Plan> of_shapes;
  };

  Result<std::shared_ptr<Plan>> MakePlan(std::span<const TensorInfo> infos) {
    PIPESERVE_ASSIGN_OR_RETURN(
        std::unique_ptr<Plan> plan,
        Plan::Build(*device_, graph_.graph(), infos, weights_, *collectives_, options_));
    return std::shared_ptr<Plan>(std::move(plan));
  }

  const LoadedGraph graph_;
  const PlanOptions options_;
  Device* device_ = nullptr;
  const Collectives* collectives_ = nullptr;
  Weights weights_;
  std::vector<std::unique_ptr<Plans>> slots_;
};

class OmFile final : public DeviceModel {
 public:
  OmFile(GraphId id, std::string file) : id_(id), file_(std::move(file)) {}

  const GraphSignature& signature() const override { return signature_; }
  Status CheckInputs(std::span<const Tensor> inputs) const override {
    return pipeserve::CheckInputs(id_, signature_, inputs);
  }

  Status Load(Device& device, const Collectives&, size_t slots) override {
    for (size_t i = 0; i < slots; ++i) {
      PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<OmModel> model, OmModel::Load(device, file_));
      models_.push_back(std::move(model));
    }
    signature_ = models_.front()->signature();
    return OkStatus();
  }

  void Unload() override { models_.clear(); }

  Result<std::shared_ptr<Program>> Find(std::span<const Tensor>, size_t slot) override {
    return std::shared_ptr<Program>(models_[slot]);
  }

 private:
  const GraphId id_;
  const std::string file_;
  std::vector<std::shared_ptr<OmModel>> models_;  // One for each slot.
  GraphSignature signature_;
};

}  // namespace

Result<std::unique_ptr<DeviceModel>> MakeGraphModel(GraphId id, Graph graph,
                                                    const PlanOptions& options) {
  PIPESERVE_ASSIGN_OR_RETURN(
      LoadedGraph loaded, LoadedGraph::Create(id, std::move(graph), options.rank_size, &CheckNode));
  return std::unique_ptr<DeviceModel>(std::make_unique<GraphModel>(std::move(loaded), options));
}

std::unique_ptr<DeviceModel> MakeOmFile(GraphId id, std::string file) {
  return std::make_unique<OmFile>(id, std::move(file));
}

}  // namespace pipeserve::ascend
