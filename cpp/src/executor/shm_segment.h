// How the shared memory of a group's collectives is laid out.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/doorbell.h"
#include "base/shared_memory.h"
#include "executor/collective_call.h"
#include "pipeserve/status.h"

namespace pipeserve {

// Bytes of a piece that one round moves; a longer one takes several.
constexpr size_t kSlotBytes = size_t{256} << 10;
constexpr size_t kSlots = 2;

// What a rank tells one peer about the latest round that both take part in.
struct RoundMark {
  uint64_t sequence = 0;  // Rounds of the two so far.
  bool finished = false;  // The rank has read what it wanted of this round.
  uint32_t slot = 0;      // Where its own piece lies, below kSlots.

  uint64_t Pack() const { return sequence << 2 | uint64_t{finished} << 1 | slot; }
  static RoundMark Unpack(uint64_t packed) {
    return {.sequence = packed >> 2,
            .finished = (packed >> 1 & 1) != 0,
            .slot = static_cast<uint32_t>(packed & 1)};
  }
};

// In front of every piece.
struct PieceHeader {
  CollectiveCall call;
  uint64_t begin = 0;   // First byte of the round in the member's whole piece.
  uint64_t is_sum = 0;  // 1: a part of the result, not of the member's piece.
  friend bool operator==(const PieceHeader&, const PieceHeader&) = default;
};

// One desk per rank: its doorbells, its marks for every peer, two slots for pieces, and two for
// messages to each peer. Only the rank itself writes to its desk, but for the doorbells; readers
// take nothing on trust.
class ShmSegment {
 public:
  // Of a group of `ranks` (at least 1). Errors: those of SharedMemory.
  static Result<ShmSegment> Create(int ranks);
  static Result<ShmSegment> Map(FileDescriptor descriptor, int ranks);

  int fd() const { return memory_.fd(); }

  // Rung when a round is complete whose members have `rank` as their first.
  Doorbell& complete(int rank) const { return desk(rank).complete; }
  // Rung when `rank` has read the pieces of a round.
  Doorbell& finished(int rank) const { return desk(rank).finished; }
  // What `rank` tells `peer`.
  std::atomic<uint64_t>& mark(int rank, int peer) const { return Count(rank, 0, peer); }
  // Rung when a message for `rank` lies there, or one of its own has been taken.
  Doorbell& mail(int rank) const { return desk(rank).mail; }
  // How many slots `rank` has filled with messages to `peer`, and taken of those from it.
  std::atomic<uint64_t>& sent(int rank, int peer) const { return Count(rank, 1, peer); }
  std::atomic<uint64_t>& taken(int rank, int peer) const { return Count(rank, 2, peer); }
  // Bytes of a message that one of its slots takes.
  size_t message_slot_bytes() const { return message_slot_bytes_; }
  std::byte* message(int rank, int peer, uint64_t slot) const {
    return At(rank, messages_begin_ +
                        (peer * kSlots + slot % kSlots) * (kHeaderBytes + message_slot_bytes_) +
                        kHeaderBytes);
  }

  void WriteHeader(int rank, uint32_t slot, const PieceHeader& header) const {
    WriteHeader(piece(rank, slot), header);
  }
  static void WriteHeader(std::byte* piece, const PieceHeader& header);
  // In front of a `piece()` or a `message()`, as it is now: a copy that does not change any more.
  static PieceHeader ReadHeader(const std::byte* piece);
  std::byte* piece(int rank, uint32_t slot) const {
    return At(rank, slots_begin_ + slot * (kHeaderBytes + kSlotBytes) + kHeaderBytes);
  }

 private:
  static constexpr size_t kHeaderBytes = 64;
  // Of a rank's slots for messages together, so that large groups do not take much memory.
  static constexpr size_t kMessageBytes = size_t{1} << 20;
  static_assert(sizeof(PieceHeader) <= kHeaderBytes);

  // All bytes zero is an unused desk.
  struct Desk {
    Doorbell complete, finished, mail;
  };

  explicit ShmSegment(int ranks);
  size_t bytes() const { return ranks_ * desk_bytes_; }
  std::byte* At(int rank, size_t offset) const {
    return memory_.data() + rank * desk_bytes_ + offset;
  }
  // Each rank has `ranks_` counters of each kind.
  std::atomic<uint64_t>& Count(int rank, size_t kind, int peer) const {
    return reinterpret_cast<std::atomic<uint64_t>*>(At(rank, sizeof(Desk)))[kind * ranks_ + peer];
  }
  Desk& desk(int rank) const { return *reinterpret_cast<Desk*>(At(rank, 0)); }

  size_t ranks_, slots_begin_, messages_begin_, message_slot_bytes_, desk_bytes_;
  SharedMemory memory_;
};

}  // namespace pipeserve
