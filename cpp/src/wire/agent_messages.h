// Tensors and signatures in the messages between a server and its agents (proto/agent.proto).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "agent.pb.h"
#include "graph/graph.h"
#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

// Largest message that either end of the link accepts.
inline constexpr int kMaxAgentMessageBytes = 512 << 20;

// `tensor` holds numbers.
void TensorToProto(const Tensor& tensor, proto::Tensor* message);
// Copies the bytes. Errors: kInvalidArgument (dtype, shape, or bytes that do not fit them).
Result<Tensor> TensorFromProto(const proto::Tensor& message);

using RepeatedTensor = google::protobuf::RepeatedPtrField<proto::Tensor>;
// Errors: those of TensorFromProto, naming the index.
Result<std::vector<Tensor>> TensorsFromProto(const RepeatedTensor& messages);

// The inputs of a call, which all ranks get alike: a ServerMessage that has nothing else. Parsed in
// one go with a second one, which has the rest of the RunCall, it gives the whole call.
// `inputs` have passed CheckInputsSize().
std::string EncodeInputs(std::span<const Tensor> inputs);

// Errors: kInvalidArgument (more than the link carries).
Status CheckInputsSize(std::span<const Tensor> inputs);

void SignatureToProto(const GraphSignature& signature, proto::GraphSignature* message);
// Errors: kInvalidArgument (dtype, shape), naming the input or output.
Result<GraphSignature> SignatureFromProto(const proto::GraphSignature& message);

}  // namespace pipeserve
