#include "executor/socket_communicator.h"

#include <filesystem>
#include <thread>

#include "executor/join_collectives.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using Connected = Result<std::shared_ptr<Communicator>>;

Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }

size_t OpenDescriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return std::distance(begin(all), end(all));
}

// Two ranks whose listeners stay for several epochs.
class SocketCommunicatorTest : public ::testing::Test {
 protected:
  Connected Connect(int rank, uint64_t epoch, const WaitLimit& limit = Soon()) {
    return JoinCollectives(listeners_[rank], rank, peers_, epoch, limit);
  }

  // Connects both ranks and lets them add 1 and 1.
  void ConnectAndUse(uint64_t epoch) {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < 2; ++rank) {
      threads.emplace_back([this, rank, epoch] { UseOne(Connect(rank, epoch)); });
    }
  }

  static void UseOne(const Connected& connected) {
    ASSERT_OK(connected);
    int32_t value = 1, sum = 0;
    ASSERT_OK(connected.value()->AllReduceSum({}, DataType::kInt32, &value, &sum, 1, Soon()));
    EXPECT_EQ(sum, 2);
  }

  std::array<SocketListener, 2> listeners_{SocketListener::Open("127.0.0.1:0").value(),
                                           SocketListener::Open("127.0.0.1:0").value()};
  std::vector<std::string> peers_{listeners_[0].address(), listeners_[1].address()};
};

TEST_F(SocketCommunicatorTest, NextEpochUsesTheSameListenersAndNoDescriptorLeaks) {
  ConnectAndUse(1);
  const size_t before = OpenDescriptors();
  for (uint64_t epoch = 2; epoch < 6; ++epoch) ConnectAndUse(epoch);
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(SocketCommunicatorTest, StrangersAreRefusedAndWaitedPast) {
  Socket silent = Dial(peers_[0], Soon()).value();
  Socket garbage = Dial(peers_[0], Soon()).value();
  const std::string text(64, 'x');
  ASSERT_OK(SendAll(garbage, std::as_bytes(std::span(text)), Soon()));
  { Socket gone = Dial(peers_[0], Soon()).value(); }
  ConnectAndUse(1);
  std::array<std::byte, 1> answer;
  EXPECT_ERROR(ReceiveAll(garbage, answer, Soon()), kUnavailable, "");
  EXPECT_ERROR(ReceiveAll(silent, answer, Soon()), kUnavailable, "");
}

TEST_F(SocketCommunicatorTest, RankOfAnOldEpochIsNotLetIn) {
  const auto shortly = Deadline::After(std::chrono::milliseconds(100));
  std::jthread old([&] { EXPECT_ERROR(Connect(1, 1, shortly), kDeadlineExceeded, "rank 0"); });
  EXPECT_ERROR(Connect(0, 2, shortly), kDeadlineExceeded, "waiting for ranks 1 of epoch 2");
}

TEST_F(SocketCommunicatorTest, RankAheadOfItsPeerIsLetInWhenThePeerFollows) {
  std::jthread ahead([&] { UseOne(Connect(1, 2)); });
  EXPECT_ERROR(Connect(0, 1, Deadline::After(std::chrono::milliseconds(50))), kDeadlineExceeded,
               "epoch 1");
  UseOne(Connect(0, 2));
}

TEST_F(SocketCommunicatorTest, JoiningEndsWhenItIsInterrupted) {
  for (const int rank : {0, 1}) {  // One waits to be dialled, one for an answer.
    Interrupt interrupt;
    std::jthread joining([&] {
      EXPECT_ERROR(Connect(rank, 1, {Deadline::Infinite(), &interrupt}), kAborted, "interrupted");
    });
    interrupt.Raise();
  }
}

TEST_F(SocketCommunicatorTest, PeerThatDoesNotListenIsUnavailable) {
  { const SocketListener closed = std::move(listeners_[0]); }
  EXPECT_ERROR(Connect(1, 1), kUnavailable, "rank 0 at 127.0.0.1");
}

TEST_F(SocketCommunicatorTest, AddressesAreChecked) {
  EXPECT_ERROR(SocketListener::Open("127.0.0.1"), kInvalidArgument, "ip:port");
  EXPECT_ERROR(SocketListener::Open("somewhere:1"), kInvalidArgument, "ip:port");
  EXPECT_ERROR(SocketListener::Open(peers_[0]), kUnavailable, "cannot listen");
}

}  // namespace
}  // namespace pipeserve
