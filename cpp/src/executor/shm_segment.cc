#include "executor/shm_segment.h"

#include <cstring>

namespace pipeserve {

ShmSegment::ShmSegment(int ranks) : ranks_(ranks) {
  constexpr size_t kLine = 64, kPage = 4096;
  const size_t marks = (ranks_ * sizeof(uint64_t) + kLine - 1) / kLine * kLine;
  slots_begin_ = sizeof(Desk) + marks;
  const size_t used = slots_begin_ + kSlots * (kHeaderBytes + kSlotBytes);
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

void ShmSegment::WriteHeader(int rank, uint32_t slot, const PieceHeader& header) const {
  std::memcpy(piece(rank, slot) - kHeaderBytes, &header, sizeof(header));
}

PieceHeader ShmSegment::ReadHeader(const std::byte* piece) {
  PieceHeader header;
  std::memcpy(&header, piece - kHeaderBytes, sizeof(header));
  return header;
}

}  // namespace pipeserve
