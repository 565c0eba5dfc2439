#include "executor/ascend/ascend_executor.h"

#include <cstdlib>
#include <utility>

#include "base/str_cat.h"
#include "executor/ascend/device_state.h"
#include "executor/ascend/device_thread.h"
#include "executor/ascend/group_link.h"
#include "pipeserve/log.h"

namespace pipeserve::ascend {

class AscendExecutor::Impl {
 public:
  ~Impl() {
    if (state_ == nullptr) return;
    const Status status = thread_.Do([this] { return state_->Close(); });
    if (status.ok()) return;
    Log(LogLevel::kWarning, "device not given back", {{"reason", status.message()}});
  }

  Status Load(std::vector<AscendModel> models, const AscendExecutorOptions& options) {
    traits_ = {"ascend", PrecisionName(options.precision), options.device.deterministic};
    for (AscendModel& model : models) PIPESERVE_RETURN_IF_ERROR(Add(std::move(model), options));
    LibraryOptions library = options.library;
    library.collectives = options.rank_size > 1;
    return thread_.Do([&]() -> Status {
      PIPESERVE_ASSIGN_OR_RETURN(
          state_, DeviceState::Open(library, options.device, options.call_limit, models_));
      state_->set_rank_table(options.rank_table);
      return OkStatus();
    });
  }

  Status Run(DeviceModel& model, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs) {
    PIPESERVE_RETURN_IF_ERROR(model.CheckInputs(inputs));
    return thread_.Do([&] { return state_->Run(model, inputs, context.places, outputs); },
                      context.deadline);
  }

  void LeaveGroup() {
    // Never refused.
    (void)thread_.Do([this] { return state_->LeaveGroup(), OkStatus(); });
  }

  Status JoinGroup(std::shared_ptr<Communicator> communicator, Deadline deadline,
                   const AnnounceCommunicator& announce) {
    const auto link = std::make_shared<GroupLink>(std::move(communicator));
    announce(link);
    return thread_.Do([&] { return state_->JoinGroup(link, deadline); });
  }

  Status Health() {
    Status health;
    // Refused when too much waits, which says nothing of the device.
    (void)thread_.Do([&] { return health = state_->CheckHealth(), OkStatus(); });
    return health;
  }

  const DeviceTraits& traits() const { return traits_; }

  DeviceModels models() const { return models_; }

 private:
  Status Add(AscendModel model, const AscendExecutorOptions& options) {
    const auto id = static_cast<GraphId>(models_.size());
    if (auto* const file = std::get_if<std::string>(&model)) {
      models_.push_back(MakeOmFile(id, std::move(*file)));
      return OkStatus();
    }
    Graph& graph = std::get<Graph>(model);
    const std::string title = StrCat("graph ", id, " (", graph.name, ")");
    auto made = MakeGraphModel(id, std::move(graph), {options.precision, options.rank_size});
    if (!made.ok()) return made.status().WithContext(title);
    models_.push_back(*std::move(made));
    return OkStatus();
  }

  DeviceTraits traits_;
  std::vector<std::unique_ptr<DeviceModel>> models_;
  std::unique_ptr<DeviceState> state_;
  DeviceThread thread_;  // Last, so that it ends before what it works on.
};

AscendExecutor::AscendExecutor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AscendExecutor::~AscendExecutor() = default;

Result<std::unique_ptr<AscendExecutor>> AscendExecutor::Create(
    std::vector<AscendModel> models, const AscendExecutorOptions& options) {
  if (options.rank_size < 1) {
    return InvalidArgument(StrCat("rank_size is ", options.rank_size, ", wanted is at least 1"));
  }
  auto impl = std::make_unique<Impl>();
  PIPESERVE_RETURN_IF_ERROR(impl->Load(std::move(models), options));
  return std::unique_ptr<AscendExecutor>(new AscendExecutor(std::move(impl)));
}

int AscendExecutor::graph_count() const { return static_cast<int>(impl_->models().size()); }

const GraphSignature& AscendExecutor::signature(GraphId graph) const {
  return impl_->models()[static_cast<size_t>(graph)]->signature();
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
  return impl_->Run(*impl_->models()[static_cast<size_t>(graph)], inputs, context, outputs);
}

void AscendExecutor::LeaveGroup() { impl_->LeaveGroup(); }

Status AscendExecutor::JoinGroup(std::shared_ptr<Communicator> communicator, Deadline deadline,
                                 const AnnounceCommunicator& announce) {
  return impl_->JoinGroup(std::move(communicator), deadline, announce);
}

DeviceTraits AscendExecutor::traits() const { return impl_->traits(); }

Duration AscendExecutor::join_limit() const {
  return JoinLimit(std::getenv("HCCL_CONNECT_TIMEOUT"));
}

Status AscendExecutor::Health() { return impl_->Health(); }

}  // namespace pipeserve::ascend
