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

  Status Load(Device& device, const Collectives& collectives) override {
    device_ = &device;
    collectives_ = &collectives;
    PIPESERVE_ASSIGN_OR_RETURN(weights_, Weights::Upload(device, graph_.graph()));
    if (!graph_.is_static()) return OkStatus();
    PIPESERVE_ASSIGN_OR_RETURN(static_plan_, MakePlan(graph_.infos()));
    return OkStatus();
  }

  void Unload() override {
    static_plan_.reset();
    plans_.Clear();
    weights_ = Weights();
  }

  Result<std::shared_ptr<Program>> Find(std::span<const Tensor> inputs) override {
    if (static_plan_ != nullptr) return std::shared_ptr<Program>(static_plan_);
    std::shared_ptr<Plan> plan = plans_.Find(inputs);
    if (plan == nullptr) {
      PIPESERVE_ASSIGN_OR_RETURN(const std::vector<TensorInfo> infos, graph_.InfosFor(inputs));
      PIPESERVE_ASSIGN_OR_RETURN(plan, MakePlan(infos));
      plans_.Keep(inputs, plan);
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
  std::shared_ptr<Plan> static_plan_;  // Null when a dimension is unknown.
  PlanCache<Plan> plans_;
};

class OmFile final : public DeviceModel {
 public:
  OmFile(GraphId id, std::string file) : id_(id), file_(std::move(file)) {}

  const GraphSignature& signature() const override { return signature_; }
  Status CheckInputs(std::span<const Tensor> inputs) const override {
    return pipeserve::CheckInputs(id_, signature_, inputs);
  }

  Status Load(Device& device, const Collectives&) override {
    PIPESERVE_ASSIGN_OR_RETURN(model_, OmModel::Load(device, file_));
    signature_ = model_->signature();
    return OkStatus();
  }

  void Unload() override { model_.reset(); }

  Result<std::shared_ptr<Program>> Find(std::span<const Tensor>) override {
    return std::shared_ptr<Program>(model_);
  }

 private:
  const GraphId id_;
  const std::string file_;
  std::shared_ptr<OmModel> model_;
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
