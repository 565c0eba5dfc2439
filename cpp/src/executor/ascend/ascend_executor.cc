#include "executor/ascend/ascend_executor.h"

#include <cstdlib>
#include <optional>
#include <utility>

#include "base/str_cat.h"
#include "executor/ascend/call_slots.h"
#include "executor/ascend/device_state.h"
#include "executor/ascend/device_thread.h"
#include "executor/ascend/group_link.h"
#include "pipeserve/log.h"

namespace pipeserve::ascend {

// Two threads call the runtime: one does everything, and with overlap another one waits for the
// calls that the first has begun.
class AscendExecutor::Impl final : public CallPipeline {
 public:
  ~Impl() override {
    waiter_.reset();  // Before the context that it waits in.
    if (state_ == nullptr) return;
    const Status status = thread_.Do([this] { return state_->Close(); });
    if (status.ok()) return;
    Log(LogLevel::kWarning, "device not given back", {{"reason", status.message()}});
  }

  Status Load(std::vector<AscendModel> models, const AscendExecutorOptions& options) {
    traits_ = {"ascend", PrecisionName(options.precision), options.device.deterministic};
    for (AscendModel& model : models) PIPESERVE_RETURN_IF_ERROR(Add(std::move(model), options));
    DeviceStateOptions state;
    state.library = options.library;
    state.library.collectives = options.rank_size > 1;
    state.device = options.device;
    state.call_limit = options.call_limit;
    state.slots = options.overlap ? kSlots : 1;
    state.kept_bytes = options.kept_bytes;
    state.rank_table = options.rank_table;
    PIPESERVE_RETURN_IF_ERROR(thread_.Do([&]() -> Status {
      PIPESERVE_ASSIGN_OR_RETURN(state_, DeviceState::Open(state, models_));
      return OkStatus();
    }));
    if (!options.overlap) return OkStatus();
    waiter_ = std::make_unique<DeviceThread>();
    return waiter_->Do([this] { return state_->LetWait(); });
  }

  Status Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs) {
    if (overlaps()) {
      PIPESERVE_ASSIGN_OR_RETURN(const std::unique_ptr<Call> call, Begin(graph, inputs, context));
      return call->Finish(outputs);
    }
    PIPESERVE_ASSIGN_OR_RETURN(DeviceModel* const model, Check(graph, inputs, context));
    return thread_.Do([&] { return state_->Run(*model, inputs, context, outputs); },
                      context.deadline);
  }

  Result<std::unique_ptr<Call>> Begin(GraphId graph, std::span<const Tensor> inputs,
                                      const CallContext& context) override {
    PIPESERVE_ASSIGN_OR_RETURN(DeviceModel* const model, Check(graph, inputs, context));
    const std::optional<size_t> slot = slots_.Take(context.deadline);
    if (!slot.has_value()) {
      return DeadlineExceeded("the deadline passed while other calls ran on the device");
    }
    auto call = std::make_unique<CallInFlight>(*this, context);
    const Status begun =
        thread_.Do([&] { return state_->Begin(*model, inputs, context, *slot, &call->flight); },
                   context.deadline);
    if (begun.ok()) return std::unique_ptr<Call>(std::move(call));
    slots_.Give(*slot);
    return begun;
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
  bool overlaps() const { return waiter_ != nullptr; }

 private:
  static constexpr size_t kSlots = 2;

  class CallInFlight final : public Call {
   public:
    CallInFlight(Impl& owner, const CallContext& call_context)
        : impl(owner), context(call_context) {}
    ~CallInFlight() override {
      if (flight.program == nullptr) return;
      std::vector<Tensor> unwanted;
      (void)impl.Finish(this, &unwanted);  // What it works on goes with whoever began it.
    }
    Status Finish(std::vector<Tensor>* outputs) override { return impl.Finish(this, outputs); }

    Impl& impl;
    const CallContext context;
    DeviceState::Flight flight;
  };

  Status Finish(CallInFlight* call, std::vector<Tensor>* outputs) {
    Event::Waited waited;
    const Status asked = waiter_->Do([&] {
      waited = state_->Wait(call->flight);
      return OkStatus();
    });
    if (waited.status.ok()) waited.status = asked;
    const size_t slot = call->flight.slot;
    const Status ended = thread_.Do(
        [&] { return state_->End(std::move(call->flight), waited, call->context, outputs); });
    slots_.Give(slot);
    return ended;
  }

  // The model that runs the call. Errors: what can be told of it before it runs.
  Result<DeviceModel*> Check(GraphId graph, std::span<const Tensor> inputs,
                             const CallContext& context) const {
    if (graph < 0 || static_cast<size_t>(graph) >= models_.size()) {
      return InvalidArgument(
          StrCat("there is no graph ", graph, ", the servable has ", models_.size()));
    }
    if (context.deadline.HasPassed()) {
      return DeadlineExceeded(StrCat("the deadline passed before graph ", graph, " ran"));
    }
    DeviceModel* const model = models_[static_cast<size_t>(graph)].get();
    PIPESERVE_RETURN_IF_ERROR(model->CheckInputs(inputs));
    return model;
  }

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
  CallSlots slots_{kSlots};
  // Last, so that they end before what they work on.
  DeviceThread thread_;
  std::unique_ptr<DeviceThread> waiter_;  // Null without overlap.
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
  return impl_->Run(graph, inputs, context, outputs);
}

void AscendExecutor::LeaveGroup() { impl_->LeaveGroup(); }

Status AscendExecutor::JoinGroup(std::shared_ptr<Communicator> communicator, Deadline deadline,
                                 const AnnounceCommunicator& announce) {
  return impl_->JoinGroup(std::move(communicator), deadline, announce);
}

CallPipeline* AscendExecutor::pipeline() { return impl_->overlaps() ? impl_.get() : nullptr; }

DeviceTraits AscendExecutor::traits() const { return impl_->traits(); }

Duration AscendExecutor::join_limit() const {
  return JoinLimit(std::getenv("HCCL_CONNECT_TIMEOUT"));
}

Status AscendExecutor::Health() { return impl_->Health(); }

}  // namespace pipeserve::ascend
