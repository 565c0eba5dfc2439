#include <thread>

#include "pipeserve/tensor.h"
#include "support/matchers.h"
#include "tensor/buffer_pool.h"

namespace pipeserve {
namespace {

TEST(BufferTest, IsAlignedAndShared) {
  Buffer buffer = Buffer::Allocate(100);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
  EXPECT_TRUE(buffer.unique());
  const Buffer copy = buffer;
  EXPECT_FALSE(buffer.unique());
  EXPECT_EQ(copy.data(), buffer.data());
}

TEST(BufferTest, SliceKeepsTheBytesAlive) {
  Buffer slice;
  {
    Buffer buffer = Buffer::Allocate(8);
    buffer.mutable_data()[5] = std::byte{42};
    slice = buffer.Slice(5, 2);
  }
  EXPECT_EQ(slice.size(), 2u);
  EXPECT_EQ(slice.data()[0], std::byte{42});
}

TEST(BufferTest, WrappedBytesAreReleasedOnce) {
  int bytes = 0, released = 0;
  {
    const Buffer buffer = Buffer::Wrap(&bytes, sizeof(bytes), [&] { ++released; });
    const Buffer copy = buffer;
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
}

TEST(BufferTest, OnlyTheWholeWrappedBufferKnowsItsOwner) {
  int bytes[4] = {}, owner = 0;
  const Buffer buffer = Buffer::Wrap(bytes, sizeof(bytes), nullptr, &owner);
  EXPECT_EQ(buffer.owner(), &owner);
  EXPECT_EQ(buffer.Slice(0, 4).owner(), nullptr);
  EXPECT_EQ(Buffer::Allocate(4).owner(), nullptr);
}

struct Note final : BufferCompanion {
  explicit Note(std::atomic<int>* count) : alive(count) { ++*alive; }
  ~Note() override { --*alive; }
  std::atomic<int>* alive;
};

TEST(BufferTest, ACompanionLivesAsLongAsTheBytes) {
  std::atomic<int> alive = 0;
  {
    Buffer buffer = Buffer::Allocate(64);
    const Buffer other = buffer, slice = buffer.Slice(0, 4);
    EXPECT_EQ(buffer.companion(), nullptr);
    EXPECT_FALSE(slice.Attach(std::make_unique<Note>(&alive)));
    EXPECT_TRUE(buffer.Attach(std::make_unique<Note>(&alive)));
    EXPECT_FALSE(other.Attach(std::make_unique<Note>(&alive))) << "it has one already";
    EXPECT_EQ(other.companion(), buffer.companion());
    EXPECT_EQ(slice.companion(), nullptr);
    buffer = Buffer();
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
  EXPECT_FALSE(Buffer().Attach(std::make_unique<Note>(&alive)));
}

TEST(BufferTest, ThreadsAttachOneCompanion) {
  std::atomic<int> alive = 0;
  std::atomic<int> attached = 0;
  {
    const Buffer buffer = Buffer::Allocate(64);
    std::vector<std::unique_ptr<Note>> notes;
    for (int t = 0; t < 4; ++t) notes.push_back(std::make_unique<Note>(&alive));
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] { attached += buffer.Attach(std::move(notes[t])); });
    }
    threads.clear();
    EXPECT_EQ(attached, 1);
  }
  EXPECT_EQ(alive, 0);
}

TEST(BufferPoolTest, SteadyUseTakesNothingFromTheSystem) {
  { Buffer::Allocate(5000); }
  const size_t before = BufferPool::Global().system_allocations();
  for (int i = 0; i < 100; ++i) Buffer::Allocate(5000);
  EXPECT_EQ(BufferPool::Global().system_allocations(), before);
}

TEST(BufferPoolTest, SizeClassesAreAtMostHalfAgainTooLarge) {
  for (size_t size = BufferPool::kMinBlock; size < 1'000'000; size += 777) {
    EXPECT_GE(BufferPool::BlockSize(size), size);
    EXPECT_LE(BufferPool::BlockSize(size), size + size / 2);
  }
}

TEST(BufferTest, ThreadsMayShareOne) {
  const Buffer buffer = Buffer::Allocate(64);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i) Buffer copy = buffer;
      });
    }
  }
  EXPECT_TRUE(buffer.unique());
}

}  // namespace
}  // namespace pipeserve
