#include "base/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <filesystem>

#include "base/shared_memory.h"
#include "support/fork.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using std::chrono::milliseconds;

Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
Deadline Shortly() { return Deadline::After(milliseconds(20)); }

size_t OpenDescriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return std::distance(begin(all), end(all));
}

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

Socket Accept(const UnixListener& listener) {
  pollfd polled{.fd = listener.socket().fd(), .events = POLLIN, .revents = 0};
  EXPECT_OK(PollUntil(std::span(&polled, 1), Soon()));
  return listener.AcceptWaiting().value();
}

class UnixSocketTest : public ::testing::Test {
 protected:
  UnixSocketTest()
      : listener_(UnixListener::Open().value()),
        ours_(DialUnix(listener_.name()).value()),
        theirs_(Accept(listener_)) {}

  // Receives "text" and `wanted` descriptors.
  Result<std::vector<FileDescriptor>> Receive(size_t wanted, const WaitLimit& limit = Soon()) {
    std::array<char, 4> text{};
    auto received = ReceiveMessage(ours_, std::as_writable_bytes(std::span(text)), wanted, limit);
    if (received.ok()) {
      EXPECT_EQ(std::string(text.data(), text.size()), "text");
    }
    return received;
  }

  const UnixListener listener_;
  Socket ours_, theirs_;
};

TEST_F(UnixSocketTest, DescriptorsArriveWithTheirMessage) {
  const SharedMemory memory = SharedMemory::Create("test", 100).value();
  std::memcpy(memory.data(), "shared", 7);
  const std::array fds{memory.fd(), memory.fd()};
  ASSERT_OK(SendMessage(theirs_, Bytes("text"), fds, Soon()));
  ASSERT_OK(SendMessage(theirs_, Bytes("text"), {}, Soon()));
  auto received = Receive(2);
  ASSERT_OK(received);
  EXPECT_NE(fcntl(received->at(1).fd(), F_GETFD) & FD_CLOEXEC, 0);
  const auto mapped = SharedMemory::Map(std::move(received->at(1)), 100);
  ASSERT_OK(mapped);
  EXPECT_STREQ(reinterpret_cast<const char*>(mapped->data()), "shared");
  EXPECT_OK(Receive(0));
}

TEST_F(UnixSocketTest, EveryListenerHasItsOwnNameAndLeavesNone) {
  std::string name;
  {
    const UnixListener other = UnixListener::Open().value();
    name = other.name();
    EXPECT_NE(name, listener_.name());
    EXPECT_OK(DialUnix(name));
  }
  EXPECT_ERROR(DialUnix(name), kUnavailable, "cannot connect to unix socket " + name);
  EXPECT_FALSE(std::filesystem::exists(name));
}

TEST_F(UnixSocketTest, ImpossibleNamesAreErrors) {
  EXPECT_ERROR(DialUnix(""), kInvalidArgument, "not 0");
  EXPECT_ERROR(DialUnix(std::string(108, 'x')), kInvalidArgument, "not 108");
}

TEST_F(UnixSocketTest, MessagesOfAnotherFormAreErrorsAndCloseWhatTheyBring) {
  const std::vector<int> fds(kMaxDescriptors, STDERR_FILENO);
  const size_t before = OpenDescriptors();
  ASSERT_OK(SendMessage(theirs_, Bytes("text"), std::span(fds).first(2), Soon()));
  EXPECT_ERROR(Receive(1), kInvalidArgument, "4 bytes and 2 descriptors came");
  ASSERT_OK(SendMessage(theirs_, Bytes("text"), {}, Soon()));
  EXPECT_ERROR(Receive(1), kInvalidArgument, "4 bytes and 0 descriptors came");
  ASSERT_OK(SendMessage(theirs_, Bytes("tex"), fds, Soon()));
  EXPECT_ERROR(Receive(kMaxDescriptors), kInvalidArgument, "3 bytes and 16 descriptors came");
  ASSERT_OK(SendMessage(theirs_, Bytes("longer text"), fds, Soon()));
  EXPECT_ERROR(Receive(kMaxDescriptors), kInvalidArgument, "and more");
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(UnixSocketTest, MoreDescriptorsThanAMessageTakesAreErrorsAndClosed) {
  constexpr size_t kCount = 2 * kMaxDescriptors;
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kCount * sizeof(int))> control{};
  std::string text = "text";
  iovec part{.iov_base = text.data(), .iov_len = text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(kCount * sizeof(int));
  std::memset(CMSG_DATA(header), 0, kCount * sizeof(int));  // Standard input, many times.
  const size_t before = OpenDescriptors();
  ASSERT_EQ(sendmsg(theirs_.fd(), &message, 0), 4);
  EXPECT_ERROR(Receive(kMaxDescriptors), kInvalidArgument, "and more");
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(UnixSocketTest, WhatCannotBeSentIsAnError) {
  const std::vector<int> fds(kMaxDescriptors + 1, STDERR_FILENO);
  EXPECT_ERROR(SendMessage(theirs_, {}, {}, Soon()), kInvalidArgument, "0 bytes");
  EXPECT_ERROR(SendMessage(theirs_, Bytes("x"), fds, Soon()), kInvalidArgument, "17 descriptors");
  const std::string much(64 << 20, 'x');
  EXPECT_ERROR(SendMessage(theirs_, Bytes(much), {}, Soon()), kInvalidArgument, "too much");
}

TEST_F(UnixSocketTest, WaitsEndAtTheDeadlineOrWhenInterrupted) {
  EXPECT_ERROR(Receive(0, Shortly()), kDeadlineExceeded, "deadline");
  Interrupt interrupt;
  interrupt.Raise();
  EXPECT_ERROR(Receive(0, {Deadline(), &interrupt}), kAborted, "interrupted");
  Status full = OkStatus();  // Nobody reads.
  while (full.ok()) full = SendMessage(theirs_, Bytes(std::string(1000, 'x')), {}, Shortly());
  EXPECT_ERROR(full, kDeadlineExceeded, "deadline");
}

TEST_F(UnixSocketTest, ClosedPeerIsUnavailable) {
  theirs_ = Socket();
  EXPECT_ERROR(Receive(0), kUnavailable, "closed");
  EXPECT_ERROR(SendMessage(ours_, Bytes("text"), {}, Soon()), kUnavailable, "send");
}

TEST_F(UnixSocketTest, KilledPeerIsSeenByPoll) {
  SKIP_IF_FORK_MAY_HANG();
  const pid_t child = fork();
  if (child == 0) {
    const Socket dialled = DialUnix(listener_.name()).value();
    while (true) pause();
  }
  const Socket peer = Accept(listener_);
  pollfd polled{.fd = peer.fd(), .events = POLLIN, .revents = 0};
  EXPECT_ERROR(PollUntil(std::span(&polled, 1), Shortly()), kDeadlineExceeded, "");
  kill(child, SIGKILL);
  EXPECT_OK(PollUntil(std::span(&polled, 1), Soon()));
  std::array<std::byte, 1> bytes;
  EXPECT_ERROR(ReceiveMessage(peer, bytes, 0, Soon()), kUnavailable, "closed");
  waitpid(child, nullptr, 0);
}

TEST_F(UnixSocketTest, ProcessesOfOtherUsersAreTurnedAway) {
  SKIP_IF_FORK_MAY_HANG();
  if (geteuid() != 0) GTEST_SKIP() << "only root can act as another user";
  const pid_t child = fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    if (setuid(kNobody) != 0) _exit(1);
    _exit(DialUnix(listener_.name()).status().code() == StatusCode::kPermissionDenied ? 0 : 2);
  }
  EXPECT_FALSE(Accept(listener_).is_open());
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace pipeserve
