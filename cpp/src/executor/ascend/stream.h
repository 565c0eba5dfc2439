// A queue of work on the device, done in order, and what one queue tells another.
#pragma once

#include <chrono>
#include <cstddef>
#include <utility>

#include "base/cancel_token.h"
#include "executor/ascend/device.h"
#include "pipeserve/status.h"

namespace pipeserve::ascend {

// How long work on the device is waited for.
struct WaitFor {
  std::chrono::milliseconds limit{30'000};
  const CancelToken* given_up = nullptr;  // Raised when the ranks that it meets are gone.
};

// That a stream has come to some point of its work.
class Event {
 public:
  Event() = default;
  // One that can be recorded again and again: its last record is what is waited for. Errors:
  // kFailedPrecondition (a runtime older than ACL 1.8), those of the runtime.
  static Result<Event> Create(Device& device);
  Event(Event&& other) noexcept { *this = std::move(other); }
  Event& operator=(Event&& other) noexcept;
  ~Event();

  abi::Event* handle() const { return handle_; }

  // What waiting for the last record came to, and what that says of the device. As
  // Stream::Synchronize(), but on a thread that Device::LetWait() was called on.
  struct Waited {
    Status status;
    Health health = Health::kHealthy;
  };
  Waited Wait(const WaitFor& wait) const;

 private:
  Device* device_ = nullptr;
  abi::Event* handle_ = nullptr;
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
  Status CopyOnDevice(std::byte* to, const std::byte* from, size_t bytes);

  // `event` comes when all that has been enqueued so far is done.
  Status Record(const Event& event);
  // What is enqueued from now on begins after `event`, as it is recorded now.
  Status BeginAfter(const Event& event);

 private:
  Device* device_ = nullptr;
  abi::Stream* handle_ = nullptr;
};

}  // namespace pipeserve::ascend
