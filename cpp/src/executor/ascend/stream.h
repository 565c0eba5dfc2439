// A queue of work on the device, done in order.
#pragma once

#include <chrono>
#include <cstddef>

#include "executor/ascend/device.h"
#include "pipeserve/status.h"

namespace pipeserve::ascend {

class Stream {
 public:
  Stream() = default;
  // One that stops at its first failure, so that nothing computes with what has not been computed.
  static Result<Stream> Create(Device& device);
  Stream(Stream&& other) noexcept;
  Stream& operator=(Stream&& other) noexcept;
  ~Stream();

  abi::Stream* handle() const { return handle_; }

  // What has been enqueued is done, or why it failed. Errors: kDeadlineExceeded (it may still run:
  // the device is suspect from now on), those of the runtime.
  Status Synchronize(std::chrono::milliseconds limit);

  // `from` or `to`, whichever is the host's, is pinned and stays as it is until the stream is
  // through.
  Status CopyToDevice(std::byte* to, const std::byte* from, size_t bytes);
  Status CopyToHost(std::byte* to, const std::byte* from, size_t bytes);

 private:
  Device* device_ = nullptr;
  abi::Stream* handle_ = nullptr;
};

}  // namespace pipeserve::ascend
