#include "agent/shm_heap.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "support/matchers.h"

namespace pipeserve {
namespace {

TEST(ShmHeapTest, BuffersAreApartAndComeBack) {
  const auto heap = *ShmHeap::Create("test", 4096);
  const size_t all = heap->free_bytes();
  {
    Buffer a = *heap->Allocate(100), b = *heap->Allocate(0), c = *heap->Allocate(64);
    std::memset(a.mutable_data(), 1, a.size());
    std::memset(c.mutable_data(), 3, c.size());
    EXPECT_EQ(a.data()[99], std::byte{1});
    EXPECT_NE(b.data(), c.data());
    EXPECT_EQ(*heap->OffsetOf(a.data(), a.size()) % ShmHeap::kAlignment, 0u);
    EXPECT_EQ(heap->free_bytes(), all - 128 - 64 - 64);
  }
  EXPECT_EQ(heap->free_bytes(), all);
}

TEST(ShmHeapTest, FreedPiecesJoinWhateverTheOrder) {
  const auto heap = *ShmHeap::Create("test", 4096);
  std::vector<Buffer> buffers;
  for (int i = 0; i < 4; ++i) buffers.push_back(*heap->Allocate(1024));
  EXPECT_ERROR(heap->Allocate(1), kResourceExhausted, "no 64 free ones in one piece");
  for (const size_t i : {2, 0, 3, 1}) buffers[i] = Buffer();
  EXPECT_OK(heap->Allocate(4096));
}

TEST(ShmHeapTest, MoreThanTheAreaIsRefused) {
  const auto heap = *ShmHeap::Create("test", 4096);
  EXPECT_ERROR(heap->Allocate(heap->memory().size() + 1), kResourceExhausted, "shared area");
  EXPECT_ERROR(heap->Allocate(SIZE_MAX), kResourceExhausted, "shared area");
}

TEST(ShmHeapTest, KnowsWhatLiesInIt) {
  const auto heap = *ShmHeap::Create("test", 4096);
  const Buffer buffer = *heap->Allocate(256);
  EXPECT_TRUE(heap->OffsetOf(buffer.data(), 256).has_value());
  EXPECT_FALSE(heap->OffsetOf(buffer.data() + 1, 8).has_value()) << "not aligned";
  EXPECT_FALSE(heap->OffsetOf(buffer.data(), 1 << 20).has_value()) << "reaches out of it";
  EXPECT_FALSE(heap->OffsetOf(&heap, 8).has_value());
}

TEST(ShmHeapTest, ABufferHasANumberThatNoOtherEverHas) {
  const auto heap = *ShmHeap::Create("test", 4096), other = *ShmHeap::Create("test", 4096);
  std::set<uint64_t> seen = {0};
  for (int i = 0; i < 3; ++i) {  // At the same place each time.
    EXPECT_TRUE(seen.insert(ShmHeap::SerialOf(*heap->Allocate(256))).second);
    EXPECT_TRUE(seen.insert(ShmHeap::SerialOf(*other->Allocate(256))).second);
  }
  Buffer buffer = *heap->Allocate(256);
  const Buffer again = Buffer::Wrap(buffer.mutable_data(), 256, {}, buffer.owner());
  EXPECT_EQ(ShmHeap::SerialOf(again), ShmHeap::SerialOf(buffer)) << "handed on";
  EXPECT_EQ(ShmHeap::SerialOf(buffer.Slice(0, 8)), 0u);
  EXPECT_EQ(ShmHeap::SerialOf(Buffer::Wrap(buffer.mutable_data(), 256, {}, &buffer)), 0u);
  EXPECT_EQ(ShmHeap::SerialOf(Buffer::Allocate(256)), 0u);
}

TEST(ShmHeapTest, LivesAsLongAsItsBuffers) {
  auto heap = *ShmHeap::Create("test", 4096);
  Buffer buffer = *heap->Allocate(64);
  heap.reset();
  std::memset(buffer.mutable_data(), 7, buffer.size());
  EXPECT_EQ(buffer.data()[63], std::byte{7});
}

}  // namespace
}  // namespace pipeserve
