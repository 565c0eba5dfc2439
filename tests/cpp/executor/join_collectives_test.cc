#include "executor/join_collectives.h"

#include <sys/resource.h>

#include <cstring>
#include <filesystem>
#include <thread>

#include "executor/gloo_communicator.h"
#include "executor/shm_communicator.h"
#include "executor/socket_communicator.h"
#include "pipeserve/log.h"
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
class JoinCollectivesTest : public ::testing::Test {
 protected:
  Connected Connect(int rank, const GroupEpoch& epoch, const WaitLimit& limit = Soon()) {
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

TEST_F(JoinCollectivesTest, NextEpochUsesTheSameListenersAndNoDescriptorLeaks) {
  ConnectAndUse(1);
  const size_t before = OpenDescriptors();
  for (uint64_t epoch = 2; epoch < 6; ++epoch) ConnectAndUse(epoch);
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(JoinCollectivesTest, StrangersAreRefusedAndWaitedPast) {
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

TEST_F(JoinCollectivesTest, RankThatDoesNotKnowTheSecretIsNotLetIn) {
  const auto shortly = Deadline::After(std::chrono::milliseconds(100));
  std::jthread other([&] {
    EXPECT_ERROR(Connect(1, {1, "guessed"}, shortly), kFailedPrecondition,
                 "rank 0 at " + peers_[0] + ": whoever answers is not this rank");
  });
  EXPECT_ERROR(Connect(0, {1, "secret"}, shortly), kDeadlineExceeded, "waiting for ranks 1");
}

// What a rank says first, without the number that makes it new and without the end.
std::array<uint64_t, 6> OpeningOfRankOne() {
  constexpr uint64_t kMagic = 0x7069'7065'6d65'7369;
  std::array<int32_t, 4> rest{2, 1, 0, 0};  // Size, from, to.
  std::array<uint64_t, 6> opening{kMagic, 1};
  std::memcpy(&opening[2], rest.data(), sizeof(rest));
  return opening;
}

TEST_F(JoinCollectivesTest, StrangersThatSpeakAsARankDoNotKeepItOut) {
  std::vector<Socket> strangers;
  for (int i = 0; i < 200; ++i) {  // More than are listened to at once.
    Socket& stranger = strangers.emplace_back(Dial(peers_[0], Soon()).value());
    const auto opening = OpeningOfRankOne();
    ASSERT_OK(SendAll(stranger, std::as_bytes(std::span(opening)), Soon()));
    if (i % 2 == 0) continue;  // This one waits, the next one proves nothing.
    const std::array<std::byte, 32> no_proof{};
    ASSERT_OK(SendAll(stranger, no_proof, Soon()));
  }
  std::jthread other([this] { UseOne(Connect(1, {1, "secret"})); });
  UseOne(Connect(0, {1, "secret"}));
  std::array<std::byte, 80> answer;
  size_t answered = 0;
  for (const Socket& stranger : strangers) {
    answered += ReceiveAll(stranger, answer, Soon()).ok() ? 1 : 0;
    EXPECT_EQ(ReceiveAll(stranger, std::span(answer).first(1), Soon()).code(),
              StatusCode::kUnavailable);
  }
  EXPECT_GT(answered, 0u);  // They were taken for a rank that has yet to prove itself.
}

TEST_F(JoinCollectivesTest, RankOfAnOldEpochIsNotLetIn) {
  const auto shortly = Deadline::After(std::chrono::milliseconds(100));
  std::jthread old([&] { EXPECT_ERROR(Connect(1, 1, shortly), kDeadlineExceeded, "rank 0"); });
  EXPECT_ERROR(Connect(0, 2, shortly), kDeadlineExceeded, "waiting for ranks 1 of epoch 2");
}

TEST_F(JoinCollectivesTest, RankAheadOfItsPeerIsLetInWhenThePeerFollows) {
  std::jthread ahead([&] { UseOne(Connect(1, 2)); });
  EXPECT_ERROR(Connect(0, 1, Deadline::After(std::chrono::milliseconds(50))), kDeadlineExceeded,
               "epoch 1");
  UseOne(Connect(0, 2));
}

TEST_F(JoinCollectivesTest, JoiningEndsWhenItIsInterrupted) {
  for (const int rank : {0, 1}) {  // One waits to be dialled, one for an answer.
    Interrupt interrupt;
    std::jthread joining([&] {
      EXPECT_ERROR(Connect(rank, 1, {Deadline::Infinite(), &interrupt}), kAborted, "interrupted");
    });
    interrupt.Raise();
  }
}

TEST_F(JoinCollectivesTest, PeerThatDoesNotListenIsUnavailable) {
  { const SocketListener closed = std::move(listeners_[0]); }
  EXPECT_ERROR(Connect(1, 1), kUnavailable, "rank 0 at 127.0.0.1");
}

TEST_F(JoinCollectivesTest, AddressesAreChecked) {
  EXPECT_ERROR(SocketListener::Open("127.0.0.1"), kInvalidArgument, "ip:port");
  EXPECT_ERROR(SocketListener::Open("somewhere:1"), kInvalidArgument, "ip:port");
  EXPECT_ERROR(SocketListener::Open(peers_[0]), kUnavailable, "cannot listen");
}

bool SharesMemory(const Connected& connected) {
  return dynamic_cast<const ShmCommunicator*>(connected.value().get()) != nullptr;
}

// What three ranks agree on, and what is logged meanwhile.
class AgreementTest : public ::testing::Test {
 protected:
  AgreementTest() {
    SetLogSink([this](const LogEvent& event) { logged_.push_back(FormatLogEvent(event)); });
  }
  ~AgreementTest() override { SetLogSink(nullptr); }

  std::vector<Connected> Join(const std::array<Collectives, 3>& wanted) {
    std::vector<SocketListener> listeners;
    std::vector<std::string> peers;
    for (size_t rank = 0; rank < wanted.size(); ++rank) {
      listeners.push_back(SocketListener::Open("127.0.0.1:0").value());
      peers.push_back(listeners.back().address());
    }
    std::vector<Connected> joined(wanted.size(), Unavailable("not yet"));
    std::vector<std::jthread> threads;
    for (size_t rank = 0; rank < wanted.size(); ++rank) {
      threads.emplace_back([&, rank] {
        joined[rank] = JoinCollectives(listeners[rank], static_cast<int>(rank), peers, 1, Soon(),
                                       wanted[rank], gloo_);
      });
    }
    for (std::jthread& thread : threads) thread.join();
    return joined;
  }

  ConnectGloo gloo_ = &GlooCommunicator::Connect;
  std::vector<std::string> logged_;  // By rank 0 only.
};

TEST_F(AgreementTest, RanksOfOneHostShareMemory) {
  for (const Connected& each : Join({})) {
    ASSERT_OK(each);
    EXPECT_TRUE(SharesMemory(each));
  }
  EXPECT_TRUE(logged_.empty());
}

TEST_F(AgreementTest, OneThatIsToldToUseSocketsMakesAllUseThem) {
  for (const Connected& each :
       Join({Collectives::kAuto, Collectives::kAuto, Collectives::kSockets})) {
    ASSERT_OK(each);
    EXPECT_FALSE(SharesMemory(each));
  }
  EXPECT_THAT(logged_, ::testing::ElementsAre(::testing::HasSubstr("rank 2: it was told")));
}

TEST_F(AgreementTest, FullMemoryFallsBackToSocketsWithOneLogLine) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit lower{.rlim_cur = 1000, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &lower), 0);
  const std::vector<Connected> joined = Join({});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  for (const Connected& each : joined) {
    ASSERT_OK(each);
    EXPECT_FALSE(SharesMemory(each));
  }
  EXPECT_THAT(logged_, ::testing::ElementsAre(::testing::HasSubstr("limit on file sizes is 1000")));
}

TEST_F(AgreementTest, DemandedMemoryThatIsNotToBeHadIsAnError) {
  const auto first = Join({Collectives::kSockets, Collectives::kSharedMemory, Collectives::kAuto});
  EXPECT_OK(first[0]);
  EXPECT_ERROR(first[1], kFailedPrecondition, "rank 0: it was told to use sockets");
  EXPECT_OK(first[2]);
  const auto last = Join({Collectives::kSharedMemory, Collectives::kAuto, Collectives::kSockets});
  EXPECT_ERROR(last[0], kFailedPrecondition, "rank 2: it was told to use sockets");
}

TEST_F(AgreementTest, OneThatIsToldToUseGlooMakesAllUseIt) {
  for (const Connected& each : Join({Collectives::kAuto, Collectives::kGloo, Collectives::kAuto})) {
    ASSERT_OK(each);
    EXPECT_NE(dynamic_cast<const GlooCommunicator*>(each.value().get()), nullptr);
  }
  EXPECT_TRUE(logged_.empty());
}

TEST_F(AgreementTest, GlooAndSomethingElseIsAnErrorOfAll) {
  for (const Connected& each :
       Join({Collectives::kAuto, Collectives::kGloo, Collectives::kSockets})) {
    EXPECT_ERROR(each, kFailedPrecondition, "rank 1 was told to use Gloo, rank 2 to use sockets");
  }
  for (const Connected& each :
       Join({Collectives::kSharedMemory, Collectives::kAuto, Collectives::kGloo})) {
    EXPECT_ERROR(each, kFailedPrecondition,
                 "rank 2 was told to use Gloo, rank 0 to use shared memory");
  }
}

TEST_F(AgreementTest, ProgramWithoutGlooRefusesIt) {
  gloo_ = nullptr;
  for (const Connected& each : Join({Collectives::kGloo, Collectives::kGloo, Collectives::kGloo})) {
    EXPECT_ERROR(each, kFailedPrecondition, "not linked with Gloo");
  }
}

TEST_F(JoinCollectivesTest, PeerThatNeverAgreesIsWaitedForUntilTheDeadlineOrAnInterrupt) {
  for (const int silent : {0, 1}) {
    const int rank = 1 - silent;
    std::jthread peer([&] {
      const auto mesh = ConnectMesh(listeners_[silent], silent, peers_, 1, Soon());
      ASSERT_OK(mesh);
      std::array<std::byte, 1000> bytes;  // Listens, says nothing, until the other one hangs up.
      (void)ReceiveAll(mesh.value()[rank], bytes, Soon());
    });
    EXPECT_ERROR(Connect(rank, 1, Deadline::After(std::chrono::milliseconds(50))),
                 kDeadlineExceeded, "");
    peer.join();
    Interrupt interrupt;
    std::jthread again([&] {
      const auto mesh = ConnectMesh(listeners_[silent], silent, peers_, 2, Soon());
      ASSERT_OK(mesh);
      interrupt.Raise();
      std::array<std::byte, 1000> bytes;
      (void)ReceiveAll(mesh.value()[rank], bytes, Soon());
    });
    EXPECT_ERROR(Connect(rank, 2, {Deadline::Infinite(), &interrupt}), kAborted, "interrupted");
  }
}

TEST_F(JoinCollectivesTest, PeerThatDiesWhileAgreeingIsUnavailable) {
  for (const int dying : {0, 1}) {
    std::jthread peer([&] { EXPECT_OK(ConnectMesh(listeners_[dying], dying, peers_, 1, Soon())); });
    EXPECT_ERROR(Connect(1 - dying, 1), kUnavailable, "");
  }
}

}  // namespace
}  // namespace pipeserve
