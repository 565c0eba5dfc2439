// One device as this process uses it: the runtime, initialised, and a context. Everything of a
// device is made, used and destroyed on one thread, as are all calls of the runtime.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "executor/ascend/acl_error.h"
#include "executor/ascend/library.h"
#include "executor/ascend/product.h"
#include "pipeserve/status.h"

namespace pipeserve::ascend {

struct DeviceOptions {
  int id = 0;  // As rank tables name it; see LogicalDevice().
  bool deterministic = false;
};

// The number of device `id` for the runtime, which counts from 0 within `visible`, the value of
// $ASCEND_RT_VISIBLE_DEVICES; null: all are visible. Errors: kFailedPrecondition (it is not).
Result<int32_t> LogicalDevice(int id, const char* visible);

class Device {
 public:
  // Errors: kFailedPrecondition (no such device, a runtime older than ACL 1.6), those of the
  // runtime.
  static Result<std::unique_ptr<Device>> Open(std::shared_ptr<const Library> library,
                                              const DeviceOptions& options);
  // Ends it, after everything that was made with it: never from a destructor, because the runtime
  // must not be finalised while the process exits. Does nothing when it is abandoned.
  Status Close();

  const abi::Functions& acl() const { return library_->functions(); }
  const Product& product() const { return product_; }

  struct Version {
    int32_t major = 0, minor = 0, patch = 0;
  };
  Version version() const { return version_; }

  // The worst that calls have said of the device so far.
  Health health() const { return health_; }

  // The first error after which it was not healthy; OK while it is.
  const Status& lost_by() const { return lost_by_; }

  // What `error` says of it, which was found elsewhere than in Check(). Returns `error`.
  Status Note(Health health, Status error);
  // Work may be left on it that nobody waits for, because of `error`, which is returned.
  Status Suspect(Status error) { return Note(Health::kSuspect, std::move(error)); }

  // Lets another thread wait for events of the device; nothing else may it do. Called there.
  Status LetWait() const;

  // Work may go on for ever: from now on what is on the device stays there until the process ends.
  void Abandon() { abandoned_ = true; }
  // Whether what is on the device can be given back. That of a dead one cannot.
  bool is_abandoned() const { return abandoned_ || health_ == Health::kDead; }

  // The Status of a call of `function` that has just returned `code`; see PIPESERVE_ACL.
  Status Check(const char* function, abi::AclCode code);
  Status Check(const char* function, abi::HcclCode code);

 private:
  explicit Device(std::shared_ptr<const Library> library) : library_(std::move(library)) {}
  Status Start(const DeviceOptions& options);
  Status Initialize();
  Status Take(const DeviceOptions& options);

  const std::shared_ptr<const Library> library_;
  Version version_;
  Product product_;
  Health health_ = Health::kHealthy;
  Status lost_by_;
  bool abandoned_ = false;
  bool initialized_ = false;  // By this, and not by another library of the process.
  int32_t taken_ = -1;        // The device that was set.
  abi::Context* context_ = nullptr;
};

}  // namespace pipeserve::ascend

// Calls a function of the runtime: its Status.
#define PIPESERVE_ACL(device, function, ...) \
  (device).Check(#function, (device).acl().function(__VA_ARGS__))
