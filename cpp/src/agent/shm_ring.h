// What a server and one of its agents share for the calls of an epoch: the layout of the memory.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "agent/lane.h"
#include "base/doorbell.h"
#include "base/secret.h"
#include "executor/group_epoch.h"

namespace pipeserve {

// A call with more inputs or outputs goes over the stream.
inline constexpr size_t kShmTensors = 8;

struct ShmTensorHead {
  static ShmTensorHead Of(const Tensor& tensor) {
    ShmTensorHead head{.dtype = static_cast<uint32_t>(tensor.dtype()),
                       .rank = static_cast<uint32_t>(tensor.shape().rank()),
                       .dims = {}};
    std::copy(tensor.shape().begin(), tensor.shape().end(), head.dims.begin());
    return head;
  }

  uint32_t dtype = 0;  // A DataType.
  uint32_t rank = 0;
  std::array<int64_t, Shape::kMaxRank> dims{};
};

// Written by the server; `sequence` last, to say that the rest is there.
struct alignas(64) ShmCall {
  std::atomic<uint64_t> sequence{0};
  uint64_t epoch = 0;
  int32_t graph = 0;
  uint32_t input_count = 0;
  uint32_t output_count = 0;  // None when the outputs are not wanted.
  uint32_t reserved = 0;
  std::array<ShmTensorHead, kShmTensors> inputs;
  std::array<ShmBlock, kShmTensors> input_blocks;
  // To be filled exactly. Only those that a later call may take as inputs have a serial.
  std::array<ShmBlock, kShmTensors> output_blocks;
};

// Written by the agent; `sequence` last, then `answered` is rung.
struct alignas(64) ShmReply {
  static constexpr size_t kMaxMessage = 1024;
  Doorbell answered;
  std::atomic<uint64_t> sequence{0};
  int32_t code = 0;
  uint32_t message_bytes = 0;
  std::array<ShmTensorHead, kShmTensors> outputs;  // As many as the call has output blocks.
  std::array<char, kMaxMessage> message;
};

// Call and reply n lie at n % kCallWindow. All bytes zero is a ring that nobody has used.
struct ShmRing {
  Doorbell posted;                          // Rung for every call.
  std::atomic<uint64_t> first_sequence{0};  // Of the epoch; there before any call is sent.
  std::array<ShmCall, kCallWindow> calls;
  std::array<ShmReply, kCallWindow> replies;
};

// Comes with the descriptors of the ring and of both areas, in this order.
struct ShmOffer {
  uint64_t epoch = 0;
  uint64_t ring_bytes = 0;
  uint64_t input_bytes = 0;
  uint64_t output_bytes = 0;
  Proof proof{};  // That it comes from the server of the epoch.

  static Result<Proof> Prove(const GroupEpoch& epoch) {
    constexpr std::string_view kWhat = "shared memory";
    return ProveSecret(epoch.secret, std::as_bytes(std::span(kWhat)));
  }
};

}  // namespace pipeserve
