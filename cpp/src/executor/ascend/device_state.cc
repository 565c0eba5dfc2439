#include "executor/ascend/device_state.h"

#include <cstring>
#include <set>
#include <utility>

#include "base/str_cat.h"

namespace pipeserve::ascend {
namespace {

constexpr std::chrono::seconds kLastWait{2};

}  // namespace

Result<std::unique_ptr<DeviceState>> DeviceState::Open(const DeviceStateOptions& options,
                                                       DeviceModels models) {
  PIPESERVE_ASSIGN_OR_RETURN(std::shared_ptr<const Library> loaded, Library::Load(options.library));
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Device> opened,
                             Device::Open(std::move(loaded), options.device));
  std::unique_ptr<DeviceState> state(new DeviceState(std::move(opened), options, models));
  const Status status = state->Load(options.slots);
  if (status.ok()) return state;
  (void)state->Close();  // What failed first is told.
  return status;
}

Status DeviceState::Load(size_t slots) {
  PIPESERVE_ASSIGN_OR_RETURN(streams_, Streams::Create(*device_, /*apart=*/slots > 1));
  for (size_t i = 0; i < slots; ++i) {
    PIPESERVE_ASSIGN_OR_RETURN(Streams::Events events, streams_.MakeEvents(*device_));
    events_.push_back(std::move(events));
  }
  for (size_t id = 0; id < models_.size(); ++id) {
    Status status = models_[id]->Load(*device_, collectives_, slots);
    if (status.ok() && models_[id]->groups().empty()) status = WarmUp(*models_[id], slots, wait_);
    if (!status.ok()) return status.WithContext(StrCat("graph ", id));
  }
  return OkStatus();
}

Status DeviceState::Close() {
  // What was given up may still run, and then uses what would be freed here.
  const Status last = streams_.Synchronize({kLastWait, nullptr});
  if (last.code() == StatusCode::kDeadlineExceeded) device_->Abandon();
  given_up_.clear();
  for (const auto& model : models_) model->Unload();
  LeaveGroup();
  kept_.Clear();
  workspace_.Free();
  events_.clear();
  streams_ = Streams();
  return device_->Close();
}

Status DeviceState::CheckHealth() const {
  if (device_->health() == Health::kHealthy) return OkStatus();
  return Unavailable(StrCat("the device has failed, this process must be restarted: ",
                            device_->lost_by().message()));
}

Status DeviceState::Run(DeviceModel& model, std::span<const Tensor> inputs,
                        const CallContext& context, std::vector<Tensor>* outputs) {
  return RunIn(0, model, inputs, context, wait_, outputs);
}

Status DeviceState::RunIn(size_t slot, DeviceModel& model, std::span<const Tensor> inputs,
                          const CallContext& context, const WaitFor& wait,
                          std::vector<Tensor>* outputs) {
  Flight flight;
  PIPESERVE_RETURN_IF_ERROR(Begin(model, inputs, context, slot, &flight));
  const Status done = streams_.Synchronize(wait);
  return End(std::move(flight), {done}, context, outputs);
}

Status DeviceState::Begin(DeviceModel& model, std::span<const Tensor> inputs,
                          const CallContext& context, size_t slot, Flight* flight) {
  PIPESERVE_RETURN_IF_ERROR(CheckHealth());
  PIPESERVE_ASSIGN_OR_RETURN(flight->program, model.Find(inputs, slot));
  flight->slot = slot;
  flight->wait = wait_;
  const Workbench bench{streams_, workspace_, kept_, epoch_};
  const Status enqueued =
      flight->program->Enqueue(bench, events_[slot], inputs, context, &flight->call);
  if (enqueued.ok()) return OkStatus();
  // What has been enqueued works on memory that the next call writes to.
  (void)streams_.Synchronize(wait_);
  Drop(std::exchange(*flight, {}));
  return enqueued;
}

// A stream stops at its first failure, so an event that has come says that all before it is well.
Event::Waited DeviceState::Wait(const Flight& flight) const {
  return events_[flight.slot].done.Wait(flight.wait);
}

Status DeviceState::End(Flight flight, const Event::Waited& waited, const CallContext& context,
                        std::vector<Tensor>* outputs) {
  (void)device_->Note(waited.health, waited.status);
  if (!waited.status.ok()) {
    // The wait itself may have failed, and the slot is used again.
    if (streams_.apart() && CheckHealth().ok()) (void)streams_.Synchronize(wait_);
    Drop(std::move(flight));
    return waited.status;
  }
  if (context.outputs_wanted) {
    *outputs = flight.program->TakeOutputs(context.places);
  } else {
    outputs->clear();
  }
  Keep(flight.call, context);
  return OkStatus();
}

void DeviceState::Keep(const Program::Call& call, const CallContext& context) {
  for (size_t i = 0; i < call.made.size() && i < context.places.size(); ++i) {
    if (call.made[i] == nullptr) continue;
    kept_.Keep(context.output_serials[i], context.places[i].data(), call.made[i]);
  }
}

void DeviceState::Drop(Flight flight) {
  flight.program->Forget();
  if (!CheckHealth().ok()) given_up_.push_back(std::move(flight));
}

void DeviceState::LeaveGroup() {
  ++epoch_;
  // Else work that was given up may use them; they go with the device.
  if (CheckHealth().ok()) kept_.Clear();
  collectives_.Clear();
  wait_.given_up = nullptr;
  link_.reset();
}

Status DeviceState::JoinGroup(std::shared_ptr<GroupLink> link, Deadline deadline) {
  LeaveGroup();
  PIPESERVE_RETURN_IF_ERROR(CheckHealth());
  link_ = std::move(link);
  wait_.given_up = &link_->given_up();
  std::set<std::vector<int32_t>> groups;
  for (const auto& model : models_) groups.merge(model->groups());
  for (const std::vector<int32_t>& ranks : groups) {
    // HCCL takes a table once: its group has the same name every time, and no epoch.
    const std::string rank_table = ranks.empty() ? std::exchange(rank_table_, {}) : "";
    PIPESERVE_ASSIGN_OR_RETURN(HcclGroup group,
                               ascend::JoinGroup(*device_, *link_, ranks, rank_table, deadline));
    collectives_.Add(ranks, std::move(group));
  }
  // Others may still be joining their groups.
  WaitFor wait = wait_;
  if (!deadline.is_infinite()) {
    wait.limit = std::chrono::ceil<std::chrono::milliseconds>(deadline.Remaining());
  }
  for (const auto& model : models_) {
    // Once on every rank, however many slots each has.
    if (!model->groups().empty()) PIPESERVE_RETURN_IF_ERROR(WarmUp(*model, 1, wait));
  }
  return OkStatus();
}

// In the first `slots` of them.
Status DeviceState::WarmUp(DeviceModel& model, size_t slots, const WaitFor& wait) {
  if (!model.is_static()) return OkStatus();
  std::vector<Tensor> inputs, outputs;
  for (const TensorInfo& info : model.signature().inputs) {
    inputs.emplace_back(info.dtype, info.shape);
    std::memset(inputs.back().mutable_data(), 0, inputs.back().byte_size());
  }
  for (size_t slot = 0; slot < slots; ++slot) {
    PIPESERVE_RETURN_IF_ERROR(RunIn(slot, model, inputs, {}, wait, &outputs));
  }
  return OkStatus();
}

}  // namespace pipeserve::ascend
