#include "executor/shm_segment.h"

#include <algorithm>
#include <cstring>

namespace pipeserve {

ShmSegment::ShmSegment(int ranks) : ranks_(ranks) {
  constexpr size_t kLine = 64, kPage = 4096;
  constexpr size_t kKinds = 3;  // Of counters.
  const size_t counts = (kKinds * ranks_ * sizeof(uint64_t) + kLine - 1) / kLine * kLine;
  slots_begin_ = sizeof(Desk) + counts;
  messages_begin_ = slots_begin_ + kSlots * (kHeaderBytes + kSlotBytes);
  message_slot_bytes_ =
      std::clamp(kMessageBytes / (kSlots * ranks_) / kPage * kPage, kPage, kSlotBytes);
  const size_t used = messages_begin_ + ranks_ * kSlots * (kHeaderBytes + message_slot_bytes_);
  desk_bytes_ = (used + kPage - 1) / kPage * kPage;
}

Result<ShmSegment> ShmSegment::Create(int ranks) {
  ShmSegment segment(ranks);
  PIPESERVE_ASSIGN_OR_RETURN(segment.memory_,
                             SharedMemory::Create("pipeserve-collectives", segment.bytes()));
  return segment;
}

Result<ShmSegment> ShmSegment::Map(FileDescriptor descriptor, int ranks) {
  ShmSegment segment(ranks);
  PIPESERVE_ASSIGN_OR_RETURN(segment.memory_,
                             SharedMemory::Map(std::move(descriptor), segment.bytes()));
  return segment;
}

void ShmSegment::WriteHeader(std::byte* piece, const PieceHeader& header) {
  std::memcpy(piece - kHeaderBytes, &header, sizeof(header));
}

PieceHeader ShmSegment::ReadHeader(const std::byte* piece) {
  PieceHeader header;
  std::memcpy(&header, piece - kHeaderBytes, sizeof(header));
  return header;
}

}  // namespace pipeserve
