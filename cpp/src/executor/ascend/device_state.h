// All that an executor has on its device. Made, used and closed on the device's thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "executor/ascend/device_model.h"
#include "executor/ascend/group_link.h"

namespace pipeserve::ascend {

using DeviceModels = std::span<const std::unique_ptr<DeviceModel>>;

struct DeviceStateOptions {
  LibraryOptions library;
  DeviceOptions device;
  std::chrono::milliseconds call_limit{30'000};
  size_t slots = 1;  // Calls at a time. With more than one, copies overlap with computing.
  size_t kept_bytes = 0;
  std::string rank_table;  // The first group of all ranks is made by it, if all ranks have one.
};

class DeviceState {
 public:
  // A call that is on the device. Made and ended on the device's thread.
  struct Flight {
    size_t slot = 0;
    std::shared_ptr<Program> program;
    Program::Call call;
    WaitFor wait;
  };

  // `models` outlive this. Errors: those of Library::Load(), Device::Open(), Streams and
  // DeviceModel::Load(); nothing is left on the device then.
  static Result<std::unique_ptr<DeviceState>> Open(const DeviceStateOptions& options,
                                                   DeviceModels models);
  // Takes everything off the device and gives it back.
  Status Close();

  // Runs a call in the first slot. Errors: kUnavailable (the device has failed), those of the
  // runtime.
  Status Run(DeviceModel& model, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs);

  // The same in three steps, for as many calls at a time as there are slots. What these refer to
  // stays until the call has ended. Calls compute in the order in which they begin.
  Status Begin(DeviceModel& model, std::span<const Tensor> inputs, const CallContext& context,
               size_t slot, Flight* flight);
  // On the one other thread that has called LetWait().
  Event::Waited Wait(const Flight& flight) const;
  Status LetWait() const { return device_->LetWait(); }
  // `waited` is what Wait() returned.
  Status End(Flight flight, const Event::Waited& waited, const CallContext& context,
             std::vector<Tensor>* outputs);

  void LeaveGroup();
  // Also runs, once, every model that meets others: the first time takes long.
  Status JoinGroup(std::shared_ptr<GroupLink> link, Deadline deadline);

  // Errors: kUnavailable (the device has failed, and by what).
  Status CheckHealth() const;

 private:
  DeviceState(std::unique_ptr<Device> device, const DeviceStateOptions& options,
              DeviceModels models)
      : models_(models),
        device_(std::move(device)),
        wait_{options.call_limit, nullptr},
        workspace_(*device_, streams_.compute(), wait_),
        kept_(*device_, options.kept_bytes),
        rank_table_(options.rank_table) {}

  Status Load(size_t slots);
  Status WarmUp(DeviceModel& model, size_t slots, const WaitFor& wait);
  Status RunIn(size_t slot, DeviceModel& model, std::span<const Tensor> inputs,
               const CallContext& context, const WaitFor& wait, std::vector<Tensor>* outputs);
  void Keep(const Program::Call& call, const CallContext& context);
  void Drop(Flight flight);

  const DeviceModels models_;
  const std::unique_ptr<Device> device_;
  WaitFor wait_;
  Streams streams_;
  Workspace workspace_;
  std::vector<Streams::Events> events_;  // Of each slot.
  KeptValues kept_;
  std::vector<Flight> given_up_;  // May still run, and use what they have.
  uint64_t epoch_ = 0;
  std::shared_ptr<GroupLink> link_;  // Of the epoch; null outside of one.
  Collectives collectives_;
  std::string rank_table_;  // Empty: none, or it has been used.
};

}  // namespace pipeserve::ascend
