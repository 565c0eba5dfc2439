// All that an executor has on its device. Made, used and closed on the device's thread.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "executor/ascend/device_model.h"
#include "executor/ascend/group_link.h"

namespace pipeserve::ascend {

using DeviceModels = std::span<const std::unique_ptr<DeviceModel>>;

class DeviceState {
 public:
  // `models` outlive this. Errors: those of Library::Load(), Device::Open() and
  // DeviceModel::Load(); nothing is left on the device then.
  static Result<std::unique_ptr<DeviceState>> Open(const LibraryOptions& library,
                                                   const DeviceOptions& device,
                                                   std::chrono::milliseconds call_limit,
                                                   DeviceModels models);
  // Takes everything off the device and gives it back.
  Status Close();

  // The first group of all ranks is made by this rank table, if all ranks have one.
  void set_rank_table(std::string file) { rank_table_ = std::move(file); }

  // Errors: kUnavailable (the device has failed), those of Program::Run().
  Status Run(DeviceModel& model, std::span<const Tensor> inputs, std::span<const Buffer> places,
             std::vector<Tensor>* outputs);

  void LeaveGroup();
  // Also runs, once, every model that meets others: the first time takes long.
  Status JoinGroup(std::shared_ptr<GroupLink> link, Deadline deadline);

  // Errors: kUnavailable (the device has failed, and by what).
  Status CheckHealth() const;

 private:
  DeviceState(std::unique_ptr<Device> device, std::chrono::milliseconds call_limit,
              DeviceModels models)
      : models_(models),
        device_(std::move(device)),
        wait_{call_limit, nullptr},
        workspace_(*device_, stream_, wait_) {}

  Status Load();
  Status WarmUp(DeviceModel& model, const WaitFor& wait);

  const DeviceModels models_;
  const std::unique_ptr<Device> device_;
  WaitFor wait_;
  Stream stream_;
  Workspace workspace_;
  std::shared_ptr<GroupLink> link_;  // Of the epoch; null outside of one.
  Collectives collectives_;
  std::string rank_table_;  // Empty: none, or it has been used.
};

}  // namespace pipeserve::ascend
