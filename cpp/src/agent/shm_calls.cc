#include "agent/shm_calls.h"

#include <poll.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "agent/shm_heap.h"
#include "base/counters.h"
#include "base/str_cat.h"

namespace pipeserve {
namespace {

// Offers of epochs that are over may still wait before the one that is wanted.
Result<Socket> AcceptOffer(const UnixListener& listener, const WaitLimit& limit) {
  while (true) {
    PIPESERVE_ASSIGN_OR_RETURN(Socket socket, listener.AcceptWaiting());
    if (socket.is_open()) return socket;
    pollfd polled{.fd = listener.socket().fd(), .events = POLLIN, .revents = 0};
    PIPESERVE_RETURN_IF_ERROR(PollUntil(std::span(&polled, 1), limit));
  }
}

}  // namespace

Result<std::shared_ptr<ShmCalls>> ShmCalls::Accept(const UnixListener& listener,
                                                   const GroupEpoch& epoch,
                                                   const WaitLimit& limit) {
  PIPESERVE_ASSIGN_OR_RETURN(const Proof wanted, ShmOffer::Prove(epoch));
  while (true) {
    PIPESERVE_ASSIGN_OR_RETURN(const Socket socket, AcceptOffer(listener, limit));
    ShmOffer offer;
    Result<std::vector<FileDescriptor>> descriptors =
        ReceiveMessage(socket, std::as_writable_bytes(std::span(&offer, 1)), 3, limit);
    PIPESERVE_RETURN_IF_ERROR(descriptors.status());
    if (offer.epoch != epoch.number || !SameProof(offer.proof, wanted)) continue;
    if (offer.ring_bytes != sizeof(ShmRing)) {
      return InvalidArgument(StrCat("the server's ring has ", offer.ring_bytes, " bytes, wanted ",
                                    sizeof(ShmRing), ": it is of another version"));
    }
    auto map = [&](size_t index, uint64_t bytes) {
      return SharedMemory::Map(std::move((*descriptors)[index]), bytes);
    };
    PIPESERVE_ASSIGN_OR_RETURN(SharedMemory ring, map(0, offer.ring_bytes));
    PIPESERVE_ASSIGN_OR_RETURN(SharedMemory inputs, map(1, offer.input_bytes));
    PIPESERVE_ASSIGN_OR_RETURN(SharedMemory outputs, map(2, offer.output_bytes));
    return std::shared_ptr<ShmCalls>(
        new ShmCalls(std::move(ring), std::move(inputs), std::move(outputs)));
  }
}

ShmCalls::ShmCalls(SharedMemory ring, SharedMemory inputs, SharedMemory outputs)
    : ring_(std::move(ring)), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}

Result<std::optional<ShmCalls::Call>> ShmCalls::Find(uint64_t sequence) {
  const ShmCall& posted = ring().calls[sequence % kCallWindow];
  if (sequence == 0 || posted.sequence.load(std::memory_order_acquire) != sequence) {
    return std::optional<Call>();
  }
  // Every value is read once: the other side could change it after it was checked.
  const uint32_t input_count = posted.input_count, output_count = posted.output_count;
  if (input_count > kShmTensors || output_count > kShmTensors) {
    return InvalidArgument(StrCat("call ", sequence, " is posted with ", input_count,
                                  " inputs and ", output_count, " outputs"));
  }
  Call call{.sequence = sequence,
            .epoch = posted.epoch,
            .graph = posted.graph,
            .inputs = {},
            .outputs = {},
            .input_serials = {},
            .output_serials = {}};
  for (uint32_t i = 0; i < input_count; ++i) {
    PIPESERVE_ASSIGN_OR_RETURN(Tensor input, Input(posted.inputs[i], posted.input_blocks[i]));
    call.inputs.push_back(std::move(input));
    call.input_serials[i] = posted.input_blocks[i].serial;
  }
  for (uint32_t i = 0; i < output_count; ++i) {
    PIPESERVE_ASSIGN_OR_RETURN(Buffer output, Map(posted.output_blocks[i]));
    call.outputs.push_back(std::move(output));
    call.output_serials[i] = posted.output_blocks[i].serial;
  }
  return std::optional<Call>(std::move(call));
}

Result<Buffer> ShmCalls::Map(const ShmBlock& posted) {
  const ShmBlock block = posted;
  const SharedMemory& area = block.area == ShmBlock::kInputs ? inputs_ : outputs_;
  if (block.area > ShmBlock::kOutputs || block.offset % ShmHeap::kAlignment != 0 ||
      block.offset > area.size() || block.bytes > area.size() - block.offset) {
    return InvalidArgument(StrCat("a tensor is posted at ", block.offset, " with ", block.bytes,
                                  " bytes, in area ", block.area, " of ", area.size()));
  }
  return Buffer::Wrap(area.data() + block.offset, block.bytes, [self = shared_from_this()] {});
}

Result<Tensor> ShmCalls::Input(const ShmTensorHead& posted, const ShmBlock& block) {
  const ShmTensorHead head = posted;
  if (head.rank > Shape::kMaxRank || head.dtype > static_cast<uint32_t>(DataType::kFloat64)) {
    return InvalidArgument(StrCat("a tensor is posted with data type ", head.dtype, " and ",
                                  head.rank, " dimensions"));
  }
  PIPESERVE_ASSIGN_OR_RETURN(const Shape shape,
                             Shape::Create(std::span(head.dims).first(head.rank)));
  PIPESERVE_ASSIGN_OR_RETURN(Buffer buffer, Map(block));
  return Tensor::Create(static_cast<DataType>(head.dtype), shape, std::move(buffer));
}

void ShmCalls::Answer(const Call& call, const Status& result, const std::vector<Tensor>& outputs) {
  ShmReply& reply = ring().replies[call.sequence % kCallWindow];
  Status status = result;
  if (status.ok() && !call.outputs.empty()) status = FillOutputs(call, outputs, &reply);
  reply.code = static_cast<int32_t>(status.code());
  reply.message_bytes =
      static_cast<uint32_t>(std::min(status.message().size(), ShmReply::kMaxMessage));
  std::memcpy(reply.message.data(), status.message().data(), reply.message_bytes);
  reply.sequence.store(call.sequence, std::memory_order_release);
  reply.answered.Ring();
}

Status ShmCalls::FillOutputs(const Call& call, const std::vector<Tensor>& outputs,
                             ShmReply* reply) {
  if (outputs.size() != call.outputs.size()) {
    return Internal(StrCat("wanted ", call.outputs.size(), " outputs, ", outputs.size(), " came"));
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    Buffer place = call.outputs[i];
    const Tensor& output = outputs[i];
    if (output.byte_size() != place.size()) {
      return Internal(StrCat("output ", i, " is ", output.ToString(), ", there is room for ",
                             place.size(), " bytes"));
    }
    if (output.data() != place.data() && output.byte_size() > 0) {
      std::memcpy(place.mutable_data(), output.data(), output.byte_size());
      CountCopy(output.byte_size());
    }
    reply->outputs[i] = ShmTensorHead::Of(output);
  }
  return OkStatus();
}

}  // namespace pipeserve
