// Device memory, pinned memory and copies.
#include <cstring>

#include "executor/ascend/simulator/fixture.h"

namespace pipeserve::ascend {
namespace {

using abi::MemcpyKind;
using testing::ElementsAre;

class SimulatorMemoryTest : public SimulatorTest {
 protected:
  int32_t CopyAsync(void* to, const void* from, size_t count, MemcpyKind kind) {
    return Code(acl.aclrtMemcpyAsync(to, count, from, count, kind, stream));
  }
  void Wait() { EXPECT_ACL(acl.aclrtSynchronizeStreamWithTimeout(stream, kLimit)); }
};

TEST_F(SimulatorMemoryTest, CopiesGoThereAndBack) {
  for (const char* mode : {"eager", "lazy", "random"}) {
    SimControl(std::string("set mode=") + mode);
    float* const from = NewPinned(2);
    float* const to = NewPinned(2);
    from[0] = 1, from[1] = 2;
    void* const block = NewBlock(8);
    void* const other = NewBlock(8);
    EXPECT_EQ(CopyAsync(block, from, 8, MemcpyKind::kHostToDevice), 0);
    EXPECT_EQ(CopyAsync(other, block, 8, MemcpyKind::kDeviceToDevice), 0);
    EXPECT_EQ(CopyAsync(to, other, 8, MemcpyKind::kDeviceToHost), 0);
    Wait();
    EXPECT_THAT(std::vector<float>(to, to + 2), ElementsAre(1, 2)) << mode;
  }
  ExpectNothingBroken();
}

TEST_F(SimulatorMemoryTest, CopyThatIsToldSoLeavesAWrongResult) {
  SimControl("corrupt-task aclrtMemcpyAsync 2");
  float* const from = NewPinned(2);
  float* const to = NewPinned(2);
  from[0] = 1, from[1] = 2;
  void* const block = NewBlock(8);
  EXPECT_EQ(CopyAsync(block, from, 8, MemcpyKind::kHostToDevice), 0);
  Wait();
  EXPECT_THAT(Download(block, 2), ElementsAre(1, 2));
  EXPECT_EQ(CopyAsync(to, block, 8, MemcpyKind::kDeviceToHost), 0);
  Wait();
  EXPECT_THAT(std::vector<float>(to, to + 2), ElementsAre(1, testing::Ne(2)));
  ExpectNothingBroken();
}

TEST_F(SimulatorMemoryTest, BlocksAreAlignedTo64AndNoBetter) {
  const auto address = reinterpret_cast<uintptr_t>(NewBlock(1));
  EXPECT_EQ(address % 128, 64U);
}

TEST_F(SimulatorMemoryTest, BlockOfNoBytes) {
  void* block = nullptr;
  EXPECT_EQ(Code(acl.aclrtMalloc(&block, 0, abi::MallocPolicy::kHugeFirst)), 100000);
  EXPECT_EQ(Code(acl.aclrtFree(nullptr)), 100000);
  ExpectBroken({"M1", "M1"});
}

TEST_F(SimulatorMemoryTest, ReadOfWhatWasNeverWritten) {
  void* const block = NewBlock(8);
  float value = 1;
  EXPECT_ACL(acl.aclrtMemcpy(block, 8, &value, 4, MemcpyKind::kHostToDevice));
  Download(block, 1);
  ExpectNothingBroken();
  Download(block, 2);
  ExpectBroken({"M1"});
}

TEST_F(SimulatorMemoryTest, DoubleFreeAndUseAfterFree) {
  void* const block = Upload({1});
  EXPECT_ACL(acl.aclrtFree(block));
  EXPECT_NE(Code(acl.aclrtFree(block)), 0);
  float value = 0;
  EXPECT_NE(Code(acl.aclrtMemcpy(&value, 4, block, 4, MemcpyKind::kDeviceToHost)), 0);
  ExpectBroken({"M3", "M3"}, "was freed by");
}

TEST_F(SimulatorMemoryTest, FreeWhileAStreamUsesTheBlock) {
  SimControl("set mode=lazy");
  void* const block = NewBlock(4);
  EXPECT_EQ(CopyAsync(block, NewPinned(1), 4, MemcpyKind::kHostToDevice), 0);
  EXPECT_ACL(acl.aclrtFree(block));
  ExpectBroken({"M3"}, "aclrtMemcpyAsync");
}

TEST_F(SimulatorMemoryTest, FreeIsTooEarlyEvenWhenTheStreamHappensToBeThrough) {
  void* const block = NewBlock(4);
  EXPECT_EQ(CopyAsync(block, NewPinned(1), 4, MemcpyKind::kHostToDevice), 0);
  while (SimControl("tasks") != "1") {
  }
  EXPECT_ACL(acl.aclrtFree(block));
  ExpectBroken({"M3"});
}

TEST_F(SimulatorMemoryTest, FreeOfAnAddressWithinABlock) {
  EXPECT_NE(Code(acl.aclrtFree(static_cast<std::byte*>(NewBlock(64)) + 32)), 0);
  ExpectBroken({"M4"});
}

TEST_F(SimulatorMemoryTest, HostWhereDeviceIsDueAndTheReverse) {
  float value = 0;
  void* const block = NewBlock(4);
  EXPECT_NE(Code(acl.aclrtMemcpy(&value, 4, &value, 4, MemcpyKind::kHostToDevice)), 0);
  EXPECT_NE(Code(acl.aclrtMemcpy(block, 4, block, 4, MemcpyKind::kHostToDevice)), 0);
  ExpectBroken({"M4", "M4"});
}

TEST_F(SimulatorMemoryTest, MoreThanTheBlockHas) {
  float values[2] = {};
  void* const block = NewBlock(4);
  EXPECT_NE(Code(acl.aclrtMemcpy(block, 8, values, 8, MemcpyKind::kHostToDevice)), 0);
  EXPECT_NE(Code(acl.aclrtMemcpy(block, 8, values, 4, MemcpyKind::kHostToDevice)), 0);
  EXPECT_NE(CopyAsync(NewBlock(8), NewPinned(1), 8, MemcpyKind::kHostToDevice), 0);
  ExpectBroken({"M4", "M4", "M4"});
}

TEST_F(SimulatorMemoryTest, MemoryOfAnotherDevice) {
  void* const block = Upload({1});
  EXPECT_ACL(acl.aclrtSetDevice(1));
  float value = 0;
  EXPECT_NE(Code(acl.aclrtMemcpy(&value, 4, block, 4, MemcpyKind::kDeviceToHost)), 0);
  ExpectBroken({"M4"}, "on device 0");
}

TEST_F(SimulatorMemoryTest, MoreThanThereIsRoomFor) {
  float values[2] = {};
  EXPECT_EQ(Code(acl.aclrtMemcpy(NewBlock(8), 4, values, 8, MemcpyKind::kHostToDevice)), 107000);
  EXPECT_EQ(Code(acl.aclrtMemcpy(NewBlock(8), 4, values, 0, MemcpyKind::kHostToDevice)), 0);
  ExpectBroken({"M7"});
}

TEST_F(SimulatorMemoryTest, PageableMemoryIsCopiedAndReported) {
  float value = 3;
  void* const block = NewBlock(4);
  EXPECT_EQ(CopyAsync(block, &value, 4, MemcpyKind::kHostToDevice), 0);
  EXPECT_EQ(CopyAsync(&value, &value, 4, MemcpyKind::kHostToHost), 207000);
  EXPECT_THAT(Download(block, 1), ElementsAre(3));
  ExpectBroken({"M5", "M5"});
}

TEST_F(SimulatorMemoryTest, SourceThatChangesBeforeTheCopyRan) {
  SimControl("set mode=lazy");
  float* const from = NewPinned(1);
  EXPECT_EQ(CopyAsync(NewBlock(4), from, 4, MemcpyKind::kHostToDevice), 0);
  *from = 5;
  Wait();
  ExpectBroken({"M6"}, "source");
}

TEST_F(SimulatorMemoryTest, TargetIsPoisonUntilTheCopyRan) {
  SimControl("set mode=lazy");
  float* const to = NewPinned(1);
  *to = 7;
  EXPECT_EQ(CopyAsync(to, Upload({7}), 4, MemcpyKind::kDeviceToHost), 0);
  EXPECT_NE(*to, 7);
  Wait();
  EXPECT_EQ(*to, 7);
  EXPECT_EQ(CopyAsync(to, Upload({7}), 4, MemcpyKind::kDeviceToHost), 0);
  *to = 8;
  Wait();
  ExpectBroken({"M6"}, "target");
}

TEST_F(SimulatorMemoryTest, PinnedMemoryFreedTooEarly) {
  SimControl("set mode=lazy");
  float* const from = NewPinned(1);
  EXPECT_EQ(CopyAsync(NewBlock(4), from, 4, MemcpyKind::kHostToDevice), 0);
  EXPECT_ACL(acl.aclrtFreeHost(from));
  Wait();
  EXPECT_NE(Code(acl.aclrtFreeHost(from)), 0);
  ExpectBroken({"M6", "M6"});
}

TEST_F(SimulatorMemoryTest, SynchronousCopyDoesNotWaitForStreams) {
  SimControl("set mode=lazy");
  void* const block = Upload({1});
  EXPECT_EQ(CopyAsync(block, NewPinned(1), 4, MemcpyKind::kHostToDevice), 0);
  Download(block, 1);
  ExpectBroken({"M7"});
}

TEST_F(SimulatorMemoryTest, MemoryInfoFollowsTheBlocks) {
  size_t before = 0, after = 0, total = 0;
  EXPECT_ACL(acl.aclrtGetMemInfo(abi::MemoryAttribute::kHbm, &before, &total));
  NewBlock(1000);
  EXPECT_ACL(acl.aclrtGetMemInfo(abi::MemoryAttribute::kHbm, &after, &total));
  EXPECT_EQ(before - after, 1000U);
}

}  // namespace
}  // namespace pipeserve::ascend
