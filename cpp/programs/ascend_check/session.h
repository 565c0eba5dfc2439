// A device that a check has opened, and what most checks do with one.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "executor/ascend/memory.h"
#include "executor/ascend/product.h"
#include "executor/ascend/stream.h"
#include "executor/ascend/view.h"
#include "executor/ascend/workspace.h"
#include "options.h"
#include "pipeserve/status.h"

namespace pipeserve::ascend::check {

// Milliseconds since it was made.
class Stopwatch {
 public:
  double milliseconds() const {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin_)
        .count();
  }

 private:
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// `count` numbers from -1 to 1, the same for the same seed.
std::vector<float> RandomFloats(size_t count, uint32_t seed);

// How many numbers of float32 lie between two.
int64_t UlpsBetween(float a, float b);

class Session {
 public:
  // Errors: those of Library::Load(), Device::Open() and the runtime.
  static Result<std::unique_ptr<Session>> Open(const Options& options);
  // After everything that was made with it.
  Status Close();

  const Options& options() const { return options_; }
  Device& device() { return *device_; }
  Stream& stream() { return stream_; }
  Workspace& workspace() { return workspace_; }

  // The usual size or count, or the one for --quick.
  template <typename T>
  T Size(T usual, T quick) const {
    return options_.quick ? quick : usual;
  }

  Status Synchronize() { return stream_.Synchronize(wait_); }
  // What the first precision is that the product has a MatMul of float32 in.
  Result<Precision> MatMulPrecision() const;

  // A block that holds `values`, which the device has when it returns.
  Result<DeviceBlock> Upload(std::span<const float> values);
  // Into a block that no work on the device uses.
  Status Overwrite(const DeviceBlock& block, std::span<const float> values);
  Result<std::vector<float>> Download(const DeviceBlock& block, size_t count);

 private:
  explicit Session(const Options& options, std::unique_ptr<Device> device)
      : options_(options), device_(std::move(device)), workspace_(*device_, stream_, wait_) {}

  const Options& options_;
  const std::unique_ptr<Device> device_;
  const WaitFor wait_{std::chrono::seconds(60)};
  Stream stream_;
  Workspace workspace_;
};

// Waits for the session's stream before the blocks that were made earlier go away, whatever
// happened in between. What does not end is left where it is.
class Drain {
 public:
  explicit Drain(Session& session) : session_(session) {}
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;
  ~Drain() {
    if (!session_.Synchronize().ok()) session_.device().Abandon();
  }

 private:
  Session& session_;
};

}  // namespace pipeserve::ascend::check
