// The messages of MSService as tensors and back: for the server's door and for the client.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ms_service.pb.h"
#include "pipeserve/instance.h"

namespace pipeserve {

namespace ms_proto = ::mindspore::serving::proto;

// The code of an error in ErrorMsg: 0 success, 2 invalid inputs (which is also what a failed
// pipeline has), 1 everything else.
int64_t ErrorMsgCode(StatusCode code);

// What every door refuses of one input, in the original's words. `byte_size` counts for numbers,
// `item_count` for text. Errors: kInvalidArgument.
Status CheckRequestTensor(std::string_view input, DataType dtype, std::span<const int64_t> dims,
                          size_t byte_size, size_t item_count);

// The instances of a request. Numbers are taken out of the message without a copy, which leaves
// its instances empty. Errors: those of CheckRequestTensor().
Result<std::vector<NamedInstance>> TakeInstances(ms_proto::PredictRequest* request);

// Fills in everything but the servable_spec: either `error` (for the whole request), or an entry
// for each of `instances`, whose values are in the order of `output_names`.
void WriteReply(const Status& error, std::span<const std::string> output_names,
                std::span<const Result<Instance>> instances, ms_proto::PredictReply* reply);

// The client's side. Outputs come in the order of their names. Errors of TakeReply(): kInternal (a
// tensor that contradicts itself).
void WriteInstances(std::span<const NamedInstance> instances, ms_proto::PredictRequest* request);
Result<InferReply> TakeReply(ms_proto::PredictReply* reply);

}  // namespace pipeserve
