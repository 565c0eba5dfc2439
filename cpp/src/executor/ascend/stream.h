// A queue of work on the device, done in order.
#pragma once

#include <chrono>
#include <cstddef>

#include "base/cancel_token.h"
#include "executor/ascend/device.h"
#include "pipeserve/status.h"

namespace pipeserve::ascend {

// How long work on the device is waited for.
struct WaitFor {
  std::chrono::milliseconds limit{30'000};
  const CancelToken* given_up = nullptr;  // Raised when the ranks that it meets are gone.
};

class Stream {
 public:
  Stream() = default;
  // One that stops at its first failure, so that nothing computes with what has not been computed.
  static Result<Stream> Create(Device& device);
  Stream(Stream&& other) noexcept;
  Stream& operator=(Stream&& other) noexcept;
  ~Stream();

  abi::Stream* handle() const { return handle_; }

  // What has been enqueued, if anything, is done, or why it failed. Errors: kDeadlineExceeded and
  // kUnavailable (given up; what was enqueued may still run, so the device is suspect from now on),
  // those of the runtime.
  Status Synchronize(const WaitFor& wait);

  // `from` or `to`, whichever is the host's, is pinned and stays as it is until the stream is
  // through.
  Status CopyToDevice(std::byte* to, const std::byte* from, size_t bytes);
  Status CopyToHost(std::byte* to, const std::byte* from, size_t bytes);

 private:
  Device* device_ = nullptr;
  abi::Stream* handle_ = nullptr;
};

}  // namespace pipeserve::ascend
