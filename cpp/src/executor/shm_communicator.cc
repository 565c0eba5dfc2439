#include "executor/shm_communicator.h"

#include <algorithm>

#include "base/str_cat.h"
#include "executor/reduce.h"
#include "executor/slice.h"

namespace pipeserve {
namespace {

// True when a sum is faster if every member adds a slice of it and reads the others' slices,
// although that takes a second round. Measured with 2 and 8 ranks on 2 cores.
bool PaysToShare(DataType dtype, size_t members, size_t bytes) {
  constexpr size_t kLeastBytes = size_t{256} << 10;
  const size_t weight = dtype == DataType::kFloat16 ? 8 : 1;  // Of converting to float32 and back.
  return members * bytes * weight >= kLeastBytes;
}

size_t IndexOf(std::span<const int32_t> group, int32_t rank) {
  return std::ranges::lower_bound(group, rank) - group.begin();
}

}  // namespace

ShmCommunicator::ShmCommunicator(int rank, std::vector<Socket> sockets, ShmSegment segment)
    : ExchangeCommunicator(rank, static_cast<int>(sockets.size())),
      sockets_(std::move(sockets)),
      segment_(std::move(segment)),
      sequences_(sockets_.size()),
      latest_(sockets_.size()),
      sent_(sockets_.size()),
      received_(sockets_.size()),
      watch_(sockets_, [this] { AlarmAll(); }),
      outbox_(rank, size(), this, [this](Status reason) { Break(std::move(reason)); }) {
  for (auto& readers : readers_) readers.reserve(sockets_.size());
  pieces_.reserve(sockets_.size());
}

Status ShmCommunicator::Exchange(std::span<const int32_t> group, const CollectiveCall& call,
                                 const void* input, std::byte* pieces, Deadline deadline) {
  const size_t own = IndexOf(group, rank());
  PieceHeader header{.call = call};
  do {
    const size_t begin = header.begin, length = std::min(kSlotBytes, call.bytes - begin);
    const auto* source = static_cast<const std::byte*>(input) + begin;
    PIPESERVE_RETURN_IF_ERROR(AwaitFree(slot_, deadline));
    CopyPiece(segment_.piece(rank(), slot_), source, length);
    PIPESERVE_RETURN_IF_ERROR(Meet(group, header, deadline));
    for (size_t i = 0; i < group.size(); ++i) {
      CopyPiece(pieces + i * call.bytes + begin, i == own ? source : pieces_[i], length);
    }
    PIPESERVE_RETURN_IF_ERROR(Leave(group));
    header.begin += length;
  } while (header.begin < call.bytes);
  return OkStatus();
}

Status ShmCommunicator::Reduce(std::span<const int32_t> group, const CollectiveCall& call,
                               const void* input, void* output, Deadline deadline) {
  const size_t element = DataTypeSize(call.dtype);
  PieceHeader header{.call = call};
  do {
    const size_t begin = header.begin, length = std::min(kSlotBytes, call.bytes - begin);
    auto* result = static_cast<std::byte*>(output) + begin;
    PIPESERVE_RETURN_IF_ERROR(AwaitFree(slot_, deadline));
    CopyPiece(segment_.piece(rank(), slot_), static_cast<const std::byte*>(input) + begin, length);
    PIPESERVE_RETURN_IF_ERROR(Meet(group, header, deadline));
    if (PaysToShare(call.dtype, group.size(), length)) {
      PIPESERVE_RETURN_IF_ERROR(SumTogether(group, header, length, result, deadline));
    } else {
      SumInRankOrder(call.dtype, pieces_, length / element, result);
    }
    PIPESERVE_RETURN_IF_ERROR(Leave(group));
    header.begin += length;
  } while (header.begin < call.bytes);
  return OkStatus();
}

Status ShmCommunicator::Contribute(std::span<const int32_t> group, const CollectiveCall& call,
                                   const void* input, Deadline deadline) {
  const bool adds_a_slice = call.kind == CollectiveCall::Kind::kAllReduceSum &&
                            PaysToShare(call.dtype, group.size(), call.bytes);
  if (adds_a_slice || call.bytes > kSlotBytes) {
    return ExchangeCommunicator::Contribute(group, call, input, deadline);
  }
  PIPESERVE_RETURN_IF_ERROR(AwaitFree(slot_, deadline));
  CopyPiece(segment_.piece(rank(), slot_), input, call.bytes);
  Begin(group, {.call = call});
  PIPESERVE_ASSIGN_OR_RETURN(const int missing, FindMissing(group));
  if (missing < 0) segment_.complete(group.front()).Ring();  // This rank came last.
  return Leave(group);
}

Status ShmCommunicator::SumTogether(std::span<const int32_t> group, PieceHeader header,
                                    size_t bytes, std::byte* output, Deadline deadline) {
  const Slice mine(IndexOf(group, rank()), group.size(), bytes);
  for (const std::byte*& piece : pieces_) piece += mine.begin;
  const uint32_t next = 1 - slot_;
  PIPESERVE_RETURN_IF_ERROR(AwaitFree(next, deadline));
  SumInRankOrder(header.call.dtype, pieces_, mine.length / DataTypeSize(header.call.dtype),
                 segment_.piece(rank(), next));
  PIPESERVE_RETURN_IF_ERROR(Leave(group));
  header.is_sum = 1;
  PIPESERVE_RETURN_IF_ERROR(Meet(group, header, deadline));
  for (size_t i = 0; i < group.size(); ++i) {
    const Slice slice(i, group.size(), bytes);
    CopyPiece(output + slice.begin, pieces_[i], slice.length);
  }
  return OkStatus();
}

template <typename Check>
Result<bool> ShmCommunicator::Await(Doorbell& bell, Deadline deadline, const Check& check) const {
  bool in_time = true;
  while (true) {
    const uint32_t seen = bell.value();
    PIPESERVE_ASSIGN_OR_RETURN(const bool done, check());
    if (done) return true;
    if (disconnected_.load()) return Aborted("this rank left its group");
    if (!in_time) return false;
    in_time = bell.WaitWhile(seen, deadline) && !deadline.HasPassed();
  }
}

Status ShmCommunicator::AwaitFree(uint32_t slot, Deadline deadline) {
  for (const Reader& reader : readers_[slot]) {
    PIPESERVE_ASSIGN_OR_RETURN(const bool free, Await(segment_.finished(reader.rank), deadline,
                                                      [&] { return HasFinished(reader); }));
    if (!free) {
      return DeadlineExceeded(StrCat("rank ", reader.rank, " did not finish a collective of rank ",
                                     rank(), " before the deadline"));
    }
  }
  return OkStatus();
}

void ShmCommunicator::Begin(std::span<const int32_t> group, const PieceHeader& header) {
  segment_.WriteHeader(rank(), slot_, header);
  readers_[slot_].clear();
  for (const int32_t peer : group) {
    if (peer == rank()) continue;
    readers_[slot_].push_back({.rank = peer, .sequence = ++sequences_[peer]});
    Tell(peer, /*finished=*/false);
  }
}

Status ShmCommunicator::Meet(std::span<const int32_t> group, const PieceHeader& header,
                             Deadline deadline) {
  Begin(group, header);
  PIPESERVE_RETURN_IF_ERROR(AwaitMembers(group, header.call, deadline));
  return CheckHeaders(group, header);
}

Status ShmCommunicator::AwaitMembers(std::span<const int32_t> group, const CollectiveCall& call,
                                     Deadline deadline) {
  Doorbell& bell = segment_.complete(group.front());
  int missing = -1;
  const auto are_there = [&]() -> Result<bool> {
    // Looked for before those that are missing: who left while the round was not complete has not
    // finished it either, so that this rank must not.
    const int gone = FirstGone(group);
    PIPESERVE_ASSIGN_OR_RETURN(missing, FindMissing(group));
    if (missing < 0) return true;
    if (gone < 0) return false;
    return Unavailable(StrCat("rank ", gone, " is gone: its connection ended"));
  };
  PIPESERVE_ASSIGN_OR_RETURN(bool complete, are_there());
  if (complete) {
    bell.Ring();  // Perhaps nobody else came later than this rank.
    return OkStatus();
  }
  PIPESERVE_ASSIGN_OR_RETURN(complete, Await(bell, deadline, are_there));
  if (complete) return OkStatus();
  return DidNotCome(rank(), call, missing);
}

Status ShmCommunicator::Leave(std::span<const int32_t> group) {
  for (const int32_t peer : group) {
    if (peer != rank()) Tell(peer, /*finished=*/true);
  }
  segment_.finished(rank()).Ring();
  slot_ = 1 - slot_;
  // The peers do not wait for a rank that left, so what it read last may be anything.
  return disconnected_.load() ? Aborted("this rank left its group") : OkStatus();
}

void ShmCommunicator::Tell(int32_t peer, bool finished) const {
  const RoundMark mark{.sequence = sequences_[peer], .finished = finished, .slot = slot_};
  segment_.mark(rank(), peer).store(mark.Pack());
}

Result<int> ShmCommunicator::FindMissing(std::span<const int32_t> group) {
  pieces_.clear();
  for (const int32_t peer : group) {
    uint32_t slot = slot_;
    if (peer != rank()) {
      const uint64_t wanted = sequences_[peer];
      PIPESERVE_ASSIGN_OR_RETURN(const RoundMark mark, LatestMark(peer, wanted + 1));
      if (mark.sequence < wanted) return peer;
      // For the round after this one it has taken its other slot.
      slot = mark.sequence > wanted ? 1 - mark.slot : mark.slot;
    }
    pieces_.push_back(segment_.piece(peer, slot));
  }
  return -1;
}

// Two slots let a rank be ahead by one round that others are in, and by one more that they need not
// have begun.
Result<RoundMark> ShmCommunicator::LatestMark(int32_t peer, uint64_t furthest) {
  const RoundMark mark = RoundMark::Unpack(segment_.mark(peer, rank()).load());
  if (mark.sequence < latest_[peer] || mark.sequence > furthest) {
    return FailedPrecondition(StrCat("rank ", peer,
                                     " wrote garbage into shared memory: it is in round ",
                                     mark.sequence, ", wanted ", latest_[peer], " to ", furthest));
  }
  latest_[peer] = mark.sequence;
  return mark;
}

Result<bool> ShmCommunicator::HasFinished(const Reader& reader) {
  if (watch_.IsGone(reader.rank)) return true;  // It reads nothing any more.
  PIPESERVE_ASSIGN_OR_RETURN(const RoundMark mark,
                             LatestMark(reader.rank, sequences_[reader.rank] + 2));
  return mark.sequence > reader.sequence || (mark.sequence == reader.sequence && mark.finished);
}

Status ShmCommunicator::CheckHeaders(std::span<const int32_t> group,
                                     const PieceHeader& header) const {
  for (size_t i = 0; i < group.size(); ++i) {
    PIPESERVE_RETURN_IF_ERROR(CheckHeader(group[i], ShmSegment::ReadHeader(pieces_[i]), header));
  }
  return OkStatus();
}

Status ShmCommunicator::CheckHeader(int32_t peer, const PieceHeader& came,
                                    const PieceHeader& wanted) const {
  if (came == wanted) return OkStatus();
  if (came.call != wanted.call) return Disagreement(rank(), wanted.call, peer, came.call);
  return FailedPrecondition(StrCat("rank ", peer,
                                   " wrote garbage into shared memory: ", "a piece from byte ",
                                   came.begin, " on instead of ", wanted.begin));
}

Status ShmCommunicator::SendMessage(int32_t to, const CollectiveCall& message, const void* input,
                                    Deadline deadline) {
  return outbox_.Send(to, message, input, deadline);
}

Result<bool> ShmCommunicator::Carry(int32_t peer, Outgoing* message) {
  do {
    if (watch_.IsGone(peer)) {
      return Unavailable(StrCat("rank ", peer, " is gone: its connection ended"));
    }
    const uint64_t taken = segment_.taken(peer, rank()).load();
    const uint64_t sent = sent_[peer];
    PIPESERVE_RETURN_IF_ERROR(CheckCount(peer, taken, sent - std::min(sent, kSlots), sent));
    if (sent - taken == kSlots) return false;
    const std::span<const std::byte> rest = message->bytes.subspan(message->done);
    const size_t length = std::min(segment_.message_slot_bytes(), rest.size());
    std::byte* const slot = segment_.message(rank(), peer, sent);
    ShmSegment::WriteHeader(slot, {.call = message->call, .begin = message->done});
    CopyPiece(slot, rest.data(), length);
    segment_.sent(rank(), peer).store(++sent_[peer]);
    segment_.mail(peer).Ring();
    message->done += length;
  } while (message->done < message->bytes.size());
  return true;
}

Status ShmCommunicator::AwaitRoom(uint32_t seen, std::span<const int32_t>) {
  (void)segment_.mail(rank()).WaitWhile(seen, Deadline::Infinite());
  return OkStatus();
}

Status ShmCommunicator::ReceiveMessage(int32_t from, const CollectiveCall& message, void* output,
                                       Deadline deadline) {
  const PieceHeader whole{.call = message};
  size_t begin = 0;
  do {
    PIPESERVE_ASSIGN_OR_RETURN(const bool came, AwaitMail(from, deadline));
    if (!came) return DidNotCome(rank(), message, from);
    const std::byte* const slot = segment_.message(from, rank(), received_[from]);
    PieceHeader wanted = whole;
    wanted.begin = begin;
    PIPESERVE_RETURN_IF_ERROR(CheckHeader(from, ShmSegment::ReadHeader(slot), wanted));
    const size_t length = std::min(segment_.message_slot_bytes(), message.bytes - begin);
    if (length > 0) CopyPiece(static_cast<std::byte*>(output) + begin, slot, length);
    segment_.taken(rank(), from).store(++received_[from]);
    segment_.mail(from).Ring();
    begin += length;
  } while (begin < message.bytes);
  return OkStatus();
}

Result<bool> ShmCommunicator::AwaitMail(int32_t from, Deadline deadline) {
  return Await(segment_.mail(rank()), deadline, [&]() -> Result<bool> {
    const bool is_gone = watch_.IsGone(from);  // Looked for before what it may have left there.
    const uint64_t sent = segment_.sent(from, rank()).load(), received = received_[from];
    PIPESERVE_RETURN_IF_ERROR(CheckCount(from, sent, received, received + kSlots));
    if (sent > received) return true;
    if (is_gone) return Unavailable(StrCat("rank ", from, " is gone: its connection ended"));
    return false;
  });
}

Status ShmCommunicator::CheckCount(int32_t peer, uint64_t count, uint64_t least, uint64_t most) {
  if (count >= least && count <= most) return OkStatus();
  return FailedPrecondition(StrCat("rank ", peer, " wrote garbage into shared memory: it counts ",
                                   count, " messages, wanted ", least, " to ", most));
}

int ShmCommunicator::FirstGone(std::span<const int32_t> group) const {
  const auto gone =
      std::ranges::find_if(group, [this](int32_t each) { return watch_.IsGone(each); });
  return gone == group.end() ? -1 : *gone;
}

void ShmCommunicator::AlarmAll() const {
  for (int each = 0; each < size(); ++each) {
    segment_.complete(each).Alarm();
    segment_.finished(each).Alarm();
    segment_.mail(each).Alarm();
  }
}

// An operation of another thread wakes up here and finds the mark; the peers' watches see the
// reset.
void ShmCommunicator::Disconnect(const Status& reason) {
  disconnected_.store(true);
  outbox_.Stop(reason);
  for (const Socket& socket : sockets_) ResetConnection(socket);
  AlarmAll();
}

}  // namespace pipeserve
