#include "agent/shm_lane.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/str_cat.h"

namespace pipeserve {
ShmLane::ShmLane(ShmRingMemory ring, std::shared_ptr<ShmSpace> space, std::shared_ptr<Lane> stream,
                 std::vector<GraphSignature> signatures)
    : ring_(std::move(ring)),
      space_(std::move(space)),
      stream_(std::move(stream)),
      signatures_(std::move(signatures)) {}

void ShmLane::Send(const RankCall& call) {
  Slot slot;
  slot.sequence = call.sequence;
  slot.graph = call.graph;
  uint64_t no_sequence = 0;
  ring_->first_sequence.compare_exchange_strong(no_sequence, call.sequence,
                                                std::memory_order_release);
  slot.over_stream = !Post(call, &slot);
  const bool over_stream = slot.over_stream;
  {
    MutexLock lock(mutex_);
    if (sent_ == 0) answered_ = call.sequence - 1;
    sent_ = call.sequence;
    slots_[call.sequence % kCallWindow] = std::move(slot);
  }
  if (over_stream) {
    stream_->Send(call);
  } else {
    ring_->calls[call.sequence % kCallWindow].sequence.store(call.sequence,
                                                             std::memory_order_release);
    ring_->posted.RingOne();
  }
}

// Writes all of the call but its sequence number; false when it does not fit.
bool ShmLane::Post(const RankCall& call, Slot* slot) {
  ShmCall& posted = ring_->calls[call.sequence % kCallWindow];
  posted.epoch = call.epoch;
  posted.graph = call.graph;
  posted.input_count = posted.output_count = 0;
  if (call.inputs != nullptr) {
    const std::span<const Tensor> tensors = call.inputs->tensors();
    const Result<std::span<const ShmBlock>> blocks = call.inputs->Placed(*space_);
    if (!blocks.ok() || tensors.size() > kShmTensors) return false;
    posted.input_count = static_cast<uint32_t>(tensors.size());
    std::transform(tensors.begin(), tensors.end(), posted.inputs.begin(), ShmTensorHead::Of);
    std::copy(blocks->begin(), blocks->end(), posted.input_blocks.begin());
  }
  if (!call.wants_outputs) return true;
  const std::vector<TensorInfo>& outputs = signatures_[static_cast<size_t>(call.graph)].outputs;
  if (outputs.size() > kShmTensors) return false;
  for (const TensorInfo& output : outputs) {
    if (output.byte_size() < 0) return false;
    Result<Buffer> buffer = space_->outputs().Allocate(static_cast<size_t>(output.byte_size()));
    if (!buffer.ok()) return false;
    posted.output_blocks[posted.output_count++] = {
        .area = ShmBlock::kOutputs,
        .offset = *space_->outputs().OffsetOf(buffer->data(), buffer->size()),
        .bytes = buffer->size(),
        .serial = call.keeps_outputs ? ShmHeap::SerialOf(*buffer) : 0};
    slot->outputs.push_back(*std::move(buffer));
  }
  return true;
}

bool ShmLane::HasAnswered(uint64_t sequence, bool over_stream) const {
  const ShmReply& reply = ring_->replies[sequence % kCallWindow];
  return over_stream ? stream_->answered() >= sequence
                     : reply.sequence.load(std::memory_order_acquire) == sequence;
}

uint64_t ShmLane::answered() const {
  std::vector<std::vector<Buffer>> unused;  // Go without the lock.
  MutexLock lock(mutex_);
  while (answered_ < sent_) {
    Slot& next = slots_[(answered_ + 1) % kCallWindow];
    if (!HasAnswered(answered_ + 1, next.over_stream)) break;
    ++answered_;
    if (next.dropped) unused.push_back(std::exchange(next.outputs, {}));
  }
  return answered_;
}

Status ShmLane::Await(uint64_t sequence, const CallContext& context) {
  bool over_stream = false;
  {
    MutexLock lock(mutex_);
    if (sequence <= answered_) return OkStatus();
    over_stream = slots_[sequence % kCallWindow].over_stream;
  }
  return over_stream ? stream_->Await(sequence, context) : AwaitReply(sequence, context);
}

Status ShmLane::AwaitReply(uint64_t sequence, const CallContext& context) {
  Doorbell& bell = ring_->replies[sequence % kCallWindow].answered;
  bool in_time = true;
  while (true) {
    const uint32_t seen = bell.value();
    if (HasAnswered(sequence, /*over_stream=*/false)) return OkStatus();
    if (const Status closed = this->closed(); !closed.ok()) return closed;
    if (context.is_cancelled()) return Cancelled(StrCat("nobody waits for call ", sequence));
    if (!in_time) {
      return DeadlineExceeded(StrCat("call ", sequence, " has not been answered in time"));
    }
    in_time = bell.WaitWhile(seen, context.deadline);
  }
}

void ShmLane::Wake() {
  for (ShmReply& reply : ring_->replies) reply.answered.Ring();
  stream_->Wake();
}

RankReply ShmLane::Take(uint64_t sequence) {
  std::vector<Buffer> buffers;
  GraphId graph = 0;
  bool over_stream = false;
  {
    MutexLock lock(mutex_);
    Slot& slot = slots_[sequence % kCallWindow];
    PIPESERVE_DCHECK(slot.sequence == sequence);
    buffers = std::exchange(slot.outputs, {});
    graph = slot.graph;
    over_stream = slot.over_stream;
  }
  if (over_stream) return stream_->Take(sequence);
  RankReply reply{.sequence = sequence, .status = {}, .outputs = {}};
  reply.status =
      ReadReply(ring_->replies[sequence % kCallWindow], graph, std::move(buffers), &reply.outputs);
  return reply;
}

void ShmLane::Drop(uint64_t sequence) {
  std::vector<Buffer> unused;  // Goes without the lock.
  bool over_stream = false;
  {
    MutexLock lock(mutex_);
    Slot& slot = slots_[sequence % kCallWindow];
    if (slot.sequence != sequence) return;
    over_stream = slot.over_stream;
    slot.dropped = true;
    if (sequence <= answered_) unused = std::exchange(slot.outputs, {});
  }
  if (over_stream) stream_->Drop(sequence);
}

// The agent may change what lies in `posted` at any time, so every value is read once.
Status ShmLane::ReadReply(const ShmReply& posted, GraphId graph, std::vector<Buffer> buffers,
                          std::vector<Tensor>* outputs) const {
  const int32_t code = posted.code;
  if (code != 0) {
    const size_t bytes = std::min<size_t>(posted.message_bytes, ShmReply::kMaxMessage);
    const std::string message(posted.message.data(), bytes);
    const bool known = code > 0 && code <= static_cast<int32_t>(StatusCode::kUnauthenticated);
    return known ? Status(static_cast<StatusCode>(code), message)
                 : Internal(StrCat("the rank answered with code ", code, ": ", message));
  }
  const std::vector<TensorInfo>& wanted = signatures_[static_cast<size_t>(graph)].outputs;
  for (size_t i = 0; i < buffers.size(); ++i) {
    const ShmTensorHead head = posted.outputs[i];
    const auto refuse = [&](const Status& why) {
      return Internal(StrCat("output ", i, " cannot be read: ", why.message()));
    };
    if (head.rank > Shape::kMaxRank) return refuse(Internal(StrCat(head.rank, " dimensions")));
    const Result<Shape> shape = Shape::Create(std::span(head.dims).first(head.rank));
    if (!shape.ok()) return refuse(shape.status());
    if (head.dtype != static_cast<uint32_t>(wanted[i].dtype)) {
      return refuse(Internal(StrCat("data type ", head.dtype, ", wanted ", wanted[i].dtype)));
    }
    Result<Tensor> tensor = Tensor::Create(wanted[i].dtype, *shape, std::move(buffers[i]));
    if (!tensor.ok()) return refuse(tensor.status());
    outputs->push_back(*std::move(tensor));
  }
  return OkStatus();
}

Status ShmLane::closed() const {
  MutexLock lock(mutex_);
  return closed_;
}

void ShmLane::Close(const Status& reason) {
  {
    MutexLock lock(mutex_);
    if (closed_.ok()) closed_ = reason;
  }
  for (ShmReply& reply : ring_->replies) reply.answered.Alarm();
  stream_->Close(reason);
}

}  // namespace pipeserve
