#include "base/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cstring>
#include <limits>

#include "support/fork.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

constexpr size_t kBytes = 10'000;

FileDescriptor Duplicate(int fd) { return FileDescriptor(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

// A memfd made by hand, as a hostile peer would.
FileDescriptor Memfd(size_t bytes, int seals, bool backed = true) {
  FileDescriptor made(memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const auto size = static_cast<off_t>(bytes);
  EXPECT_EQ(backed ? posix_fallocate(made.fd(), 0, size) : ftruncate(made.fd(), size), 0);
  EXPECT_EQ(fcntl(made.fd(), F_ADD_SEALS, seals), 0);
  return made;
}

// Lowers a limit of this process while it lives.
class LowerLimit {
 public:
  LowerLimit(__rlimit_resource resource, rlim_t value) : resource_(resource) {
    getrlimit(resource_, &before_);
    const rlimit lower{.rlim_cur = value, .rlim_max = before_.rlim_max};
    EXPECT_EQ(setrlimit(resource_, &lower), 0);
  }
  ~LowerLimit() { setrlimit(resource_, &before_); }

 private:
  const __rlimit_resource resource_;
  rlimit before_{};
};

TEST(SharedMemoryTest, BothSidesSeeTheSameBytesWhichAreZeroAtFirst) {
  const SharedMemory ours = SharedMemory::Create("test", kBytes).value();
  const SharedMemory theirs = SharedMemory::Map(Duplicate(ours.fd()), kBytes).value();
  ASSERT_EQ(ours.size(), kBytes);
  ASSERT_EQ(theirs.size(), kBytes);
  EXPECT_NE(ours.data(), theirs.data());
  EXPECT_EQ(theirs.data()[kBytes - 1], std::byte{0});
  std::memset(ours.data(), 7, kBytes);
  EXPECT_EQ(theirs.data()[kBytes - 1], std::byte{7});
}

TEST(SharedMemoryTest, OutlivesTheProcessThatWroteIt) {
  SKIP_IF_FORK_MAY_HANG();
  const SharedMemory memory = SharedMemory::Create("test", kBytes).value();
  const pid_t child = fork();
  if (child == 0) {
    std::memcpy(memory.data(), "written", 8);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_STREQ(reinterpret_cast<const char*>(memory.data()), "written");
}

TEST(SharedMemoryTest, MovingKeepsTheAddress) {
  SharedMemory first = SharedMemory::Create("test", kBytes).value();
  std::byte* const address = first.data();
  const SharedMemory second = std::move(first);
  EXPECT_EQ(second.data(), address);
  EXPECT_EQ(second.size(), kBytes);
}

TEST(SharedMemoryTest, NobodyCanChangeItsSize) {
  const SharedMemory memory = SharedMemory::Create("test", kBytes).value();
  EXPECT_NE(ftruncate(memory.fd(), 0), 0);
  EXPECT_NE(ftruncate(memory.fd(), 2 * kBytes), 0);
}

TEST(SharedMemoryTest, SizesThatCannotBeAreErrorsAndTakeNothing) {
  EXPECT_ERROR(SharedMemory::Create("none", 0), kInvalidArgument, "\"none\" has to have bytes");
  for (const size_t bytes : {size_t{1} << 50, std::numeric_limits<size_t>::max()}) {
    EXPECT_ERROR(SharedMemory::Create("all", bytes), kResourceExhausted,
                 std::to_string(bytes) + " bytes: ");
  }
}

TEST(SharedMemoryTest, LimitsOfTheProcessAreErrors) {
  {
    const LowerLimit limit(RLIMIT_FSIZE, kBytes - 1);
    EXPECT_ERROR(SharedMemory::Create("test", kBytes), kResourceExhausted, "file sizes is 9999");
  }
  {
    const LowerLimit limit(RLIMIT_NOFILE, 0);
    EXPECT_ERROR(SharedMemory::Create("test", kBytes), kResourceExhausted, "Too many open files");
  }
  EXPECT_OK(SharedMemory::Create("test", kBytes));
}

TEST(SharedMemoryTest, LongNamesAreCut) {
  EXPECT_OK(SharedMemory::Create(std::string(10'000, 'n'), kBytes));
}

TEST(SharedMemoryTest, MapTakesNothingThatThePeerCanShrink) {
  EXPECT_ERROR(SharedMemory::Map(Memfd(kBytes, 0), kBytes), kInvalidArgument, "sealed");
  EXPECT_ERROR(SharedMemory::Map(Memfd(kBytes, F_SEAL_GROW), kBytes), kInvalidArgument, "sealed");
  EXPECT_ERROR(SharedMemory::Map(FileDescriptor(open("/dev/zero", O_RDWR | O_CLOEXEC)), kBytes),
               kInvalidArgument, "memfd");
  EXPECT_ERROR(SharedMemory::Map(FileDescriptor(), kBytes), kInvalidArgument, "memfd");
  EXPECT_OK(SharedMemory::Map(Memfd(kBytes, F_SEAL_GROW | F_SEAL_SHRINK), kBytes));
}

TEST(SharedMemoryTest, MapTakesNothingOfAnotherSize) {
  const SharedMemory memory = SharedMemory::Create("test", kBytes).value();
  for (const size_t bytes : {size_t{0}, kBytes - 1, kBytes + 1, SIZE_MAX}) {
    EXPECT_ERROR(SharedMemory::Map(Duplicate(memory.fd()), bytes), kInvalidArgument, "10000 came");
  }
}

TEST(SharedMemoryTest, MapTakesNothingThatWouldHaveToBeAllocated) {
  constexpr size_t kHuge = size_t{1} << 40;
  EXPECT_ERROR(SharedMemory::Map(Memfd(kHuge, F_SEAL_GROW | F_SEAL_SHRINK, false), kHuge),
               kInvalidArgument, "0 of them backed by memory");
}

TEST(SharedMemoryTest, MapClosesWhatItRefuses) {
  FileDescriptor refused = Memfd(kBytes, 0);
  const int fd = refused.fd();
  EXPECT_FALSE(SharedMemory::Map(std::move(refused), kBytes).ok());
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
}

}  // namespace
}  // namespace pipeserve
