// The messages of MSService/Predict: read into tensors with one copy, written from them with none.
#pragma once

#include <google/protobuf/io/zero_copy_stream.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "pipeserve/instance.h"
#include "pipeserve/status.h"

namespace pipeserve {

// What a request calls.
struct PredictTarget {
  std::string servable;
  std::string method;
  uint64_t version = 0;  // 0: the newest, or the one that was switched to.
};

struct PredictRequest {
  PredictTarget target;
  // Why the instances are refused: then they are incomplete. kInvalidArgument, in the original's
  // words.
  Status refused;
  std::vector<NamedInstance> instances;  // Of a name that comes twice, the last counts.
};

// Room for the bytes of one tensor. `target` is what the message has told so far: everything,
// unless the client writes its fields in an order of its own.
using MakeRoom = std::function<Buffer(const PredictTarget& target, size_t bytes)>;

// `bytes` is the size of the message. Errors: kInvalidArgument (that is no PredictRequest).
Result<PredictRequest> ReadPredictRequest(google::protobuf::io::ZeroCopyInputStream* message,
                                          size_t bytes, const MakeRoom& make_room);

// Outputs come in the order of their names. Errors: kInternal (no PredictReply, or a tensor that
// contradicts itself).
Result<InferReply> ReadPredictReply(google::protobuf::io::ZeroCopyInputStream* message,
                                    size_t bytes);

// The bytes of a message, in pieces; those of tensors are shared.
std::vector<Buffer> WritePredictRequest(const PredictTarget& target,
                                        std::span<const NamedInstance> instances);

// Either `error` (for the whole request), or an entry for each of `instances`, whose values are in
// the order of `output_names`.
std::vector<Buffer> WritePredictReply(const PredictTarget& target, const Status& error,
                                      std::span<const std::string> output_names,
                                      std::span<const Result<Instance>> instances);

}  // namespace pipeserve
