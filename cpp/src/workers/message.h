// What front and worker tell each other, and how it is laid out on their socket.
//
// A frame is a head of fixed size, the fields, and the bytes of the tensors, each beginning at a
// multiple of 64. Numbers are little-endian. Whoever reads trusts nothing of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

enum class WorkerMessageKind : uint8_t {
  // Of the front.
  kCall = 1,   // Run function `name` on `instances`.
  kReply = 2,  // To anything but kResult.
  // Of the worker.
  kResult = 3,  // What the function gave.
  kRun = 4,     // Run method `name` on `instances`; `keep` its outputs or not.
  kSubmit = 5,  // The same, but do not wait. The reply has the call's `number`.
  kWait = 6,    // For call `number`, up to `nanoseconds`. The reply says how far it is (CallState).
  kCancel = 7,  // Take call `number` back. The reply says whether (`number` is 1).
  kFetch = 8,   // The tensor of resident `number`.
};

// A tensor, or a resident one: then `tensor` has a dtype and a shape, and no bytes.
struct WorkerValue {
  Tensor tensor = {};
  uint64_t resident = 0;   // 0: none.
  std::string title = {};  // Of a resident, for messages.
};

struct WorkerMessage {
  using Instances = std::vector<Result<std::vector<WorkerValue>>>;

  WorkerMessageKind kind = WorkerMessageKind::kReply;
  bool keep = false;
  uint64_t number = 0;
  int64_t nanoseconds = 0;
  std::string name = {};
  Status status = {};  // Of a reply.
  Instances instances = {};
  std::vector<uint64_t> released = {};  // Residents that the worker has dropped meanwhile.
};

// `number` of a reply to kWait.
enum class CallState : uint64_t { kWaiting = 0, kRunning = 1, kDone = 2 };

constexpr size_t kMaxFieldBytes = size_t{16} << 20;
constexpr size_t kMaxTensorBytes = size_t{4} << 30;

struct WorkerFrameHead {
  static constexpr size_t kSize = 16;

  uint64_t field_bytes = 0;
  uint64_t tensor_bytes = 0;

  std::array<std::byte, kSize> Encode() const;
  // Errors: kInvalidArgument (more than a frame may have).
  static Result<WorkerFrameHead> Decode(std::span<const std::byte, kSize> bytes);
};

// A frame to be sent.
struct WorkerFrame {
  std::vector<std::byte> text;  // Head and fields.
  std::vector<Buffer> tensors;  // To be padded to multiples of 64 bytes each.
  size_t tensor_bytes = 0;      // With the padding.
};

constexpr size_t kTensorAlignment = 64;
constexpr size_t PaddedTo64(size_t bytes) {
  return (bytes + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
}

// Errors: kInvalidArgument (more than a frame may have).
Result<WorkerFrame> EncodeWorkerMessage(const WorkerMessage& message);
// The tensors share `tensors`. Errors: kInvalidArgument (no such message).
Result<WorkerMessage> DecodeWorkerMessage(std::span<const std::byte> fields, const Buffer& tensors);

}  // namespace pipeserve
