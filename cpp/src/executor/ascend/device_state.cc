#include "executor/ascend/device_state.h"

#include <cstring>
#include <set>
#include <utility>

#include "base/str_cat.h"

namespace pipeserve::ascend {

namespace {

constexpr std::chrono::seconds kLastWait{2};

}  // namespace

Result<std::unique_ptr<DeviceState>> DeviceState::Open(const LibraryOptions& library,
                                                       const DeviceOptions& device,
                                                       std::chrono::milliseconds call_limit,
                                                       DeviceModels models) {
  PIPESERVE_ASSIGN_OR_RETURN(std::shared_ptr<const Library> loaded, Library::Load(library));
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Device> opened,
                             Device::Open(std::move(loaded), device));
  std::unique_ptr<DeviceState> state(new DeviceState(std::move(opened), call_limit, models));
  const Status status = state->Load();
  if (status.ok()) return state;
  (void)state->Close();  // What failed first is told.
  return status;
}

Status DeviceState::Load() {
  PIPESERVE_ASSIGN_OR_RETURN(stream_, Stream::Create(*device_));
  for (size_t id = 0; id < models_.size(); ++id) {
    Status status = models_[id]->Load(*device_, collectives_);
    if (status.ok() && models_[id]->groups().empty()) status = WarmUp(*models_[id], wait_);
    if (!status.ok()) return status.WithContext(StrCat("graph ", id));
  }
  return OkStatus();
}

Status DeviceState::Close() {
  // What was given up may still run, and then uses what would be freed here.
  const Status last = stream_.Synchronize({kLastWait, nullptr});
  if (last.code() == StatusCode::kDeadlineExceeded) device_->Abandon();
  for (const auto& model : models_) model->Unload();
  LeaveGroup();
  workspace_.Free();
  stream_ = Stream();
  return device_->Close();
}

Status DeviceState::CheckHealth() const {
  if (device_->health() == Health::kHealthy) return OkStatus();
  return Unavailable(StrCat("the device has failed, this process must be restarted: ",
                            device_->lost_by().message()));
}

Status DeviceState::Run(DeviceModel& model, std::span<const Tensor> inputs,
                        std::span<const Buffer> places, std::vector<Tensor>* outputs) {
  PIPESERVE_RETURN_IF_ERROR(CheckHealth());
  PIPESERVE_ASSIGN_OR_RETURN(const std::shared_ptr<Program> program, model.Find(inputs));
  return program->Run(stream_, workspace_, inputs, places, wait_, outputs);
}

void DeviceState::LeaveGroup() {
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
    if (!model->groups().empty()) PIPESERVE_RETURN_IF_ERROR(WarmUp(*model, wait));
  }
  return OkStatus();
}

Status DeviceState::WarmUp(DeviceModel& model, const WaitFor& wait) {
  if (!model.is_static()) return OkStatus();
  std::vector<Tensor> inputs, outputs;
  for (const TensorInfo& info : model.signature().inputs) {
    inputs.emplace_back(info.dtype, info.shape);
    std::memset(inputs.back().mutable_data(), 0, inputs.back().byte_size());
  }
  PIPESERVE_ASSIGN_OR_RETURN(const std::shared_ptr<Program> program, model.Find(inputs));
  return program->Run(stream_, workspace_, inputs, {}, wait, &outputs);
}

}  // namespace pipeserve::ascend
