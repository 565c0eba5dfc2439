// How ranks come to collectives over Gloo; what those promise is in communicator_contract_test.cc.
#include "executor/gloo_communicator.h"

#include <gloo/transport/context.h>
#include <gloo/transport/tcp/device.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>

#include "executor/join_collectives.h"
#include "executor/socket_mesh.h"
#include "support/matchers.h"

// libgloo is not built for ThreadSanitizer, which so does not see how a buffer, before it goes,
// waits for the thread that may be about to fill or signal it.
#if defined(__SANITIZE_THREAD__)
extern "C" [[gnu::visibility("default")]] const char* __tsan_default_suppressions() {
  return "race:gloo::transport::tcp::UnboundBuffer\nrace:GlooCommunicator::Frame::~Frame\n";
}
#endif

// Gloo forgets what it looked up when it cannot listen.
#if defined(__SANITIZE_ADDRESS__)
extern "C" [[gnu::visibility("default")]] const char* __lsan_default_suppressions() {
  return "leak:gloo::transport::tcp::CreateDevice\n";
}
#endif

namespace pipeserve {
namespace {

using Connected = Result<std::shared_ptr<Communicator>>;

Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }

size_t OpenDescriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return std::distance(begin(all), end(all));
}

// Two ranks that have a mesh.
class GlooCommunicatorTest : public ::testing::Test {
 protected:
  GlooCommunicatorTest() {
    std::signal(SIGPIPE, SIG_IGN);
    ConnectBoth(1);
  }

  void ConnectBoth(uint64_t epoch) {
    std::jthread other([&] { meshes_[1] = ConnectMesh(listeners_[1], 1, peers_, epoch, Soon()); });
    meshes_[0] = ConnectMesh(listeners_[0], 0, peers_, epoch, Soon());
  }

  std::vector<Socket> TakeMesh(int rank) { return *std::move(meshes_[rank]); }
  Socket& connection(int rank) { return (*meshes_[rank])[1 - rank]; }

  std::array<SocketListener, 2> listeners_{SocketListener::Open("127.0.0.1:0").value(),
                                           SocketListener::Open("127.0.0.1:0").value()};
  std::vector<std::string> peers_{listeners_[0].address(), listeners_[1].address()};
  std::array<Result<std::vector<Socket>>, 2> meshes_{Unavailable("not yet"),
                                                     Unavailable("not yet")};
};

TEST_F(GlooCommunicatorTest, EpochAfterEpochLeavesNoDescriptors) {
  size_t before = 0;
  for (uint64_t epoch = 2; epoch < 6; ++epoch) {
    {
      std::array<Connected, 2> joined{Unavailable("not yet"), Unavailable("not yet")};
      std::jthread other(
          [&] { joined[1] = GlooCommunicator::Connect(1, "127.0.0.1", TakeMesh(1), Soon()); });
      joined[0] = GlooCommunicator::Connect(0, "127.0.0.1", TakeMesh(0), Soon());
      other.join();
      ASSERT_OK(joined[0]);
      ASSERT_OK(joined[1]);
    }
    if (epoch == 2) before = OpenDescriptors();
    EXPECT_EQ(OpenDescriptors(), before);
    ConnectBoth(epoch);
  }
}

// As ranks of several hosts have them.
TEST(GlooAddressTest, EachRankListensWhereItsPeersReachIt) {
  std::signal(SIGPIPE, SIG_IGN);
  std::vector<SocketListener> listeners;
  std::vector<std::string> peers;
  for (const std::string host : {"127.0.0.3:0", "127.0.0.1:0", "127.0.0.2:0"}) {
    listeners.push_back(SocketListener::Open(host).value());
    peers.push_back(listeners.back().address());
  }
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < 3; ++rank) {
    threads.emplace_back([&, rank] {
      const Connected joined = JoinCollectives(listeners[rank], rank, peers, 1, Soon(),
                                               Collectives::kGloo, &GlooCommunicator::Connect);
      ASSERT_OK(joined);
      int32_t value = 1, sum = 0;
      ASSERT_OK((*joined)->AllReduceSum({}, DataType::kInt32, &value, &sum, 1, Soon()));
      EXPECT_EQ(sum, 3);
    });
  }
}

TEST_F(GlooCommunicatorTest, HostThatIsNotThisOneIsAnError) {
  EXPECT_ERROR(GlooCommunicator::Connect(0, "192.0.2.1", TakeMesh(0), Soon()), kUnavailable,
               "192.0.2.1");
}

TEST_F(GlooCommunicatorTest, PeerThatGoesBeforeItTellsItsAddressIsUnavailable) {
  { const Socket gone = std::move(connection(1)); }
  EXPECT_ERROR(GlooCommunicator::Connect(0, "127.0.0.1", TakeMesh(0), Soon()), kUnavailable,
               "rank 1");
}

TEST_F(GlooCommunicatorTest, SilentPeerIsWaitedForUntilTheDeadlineOrAnInterrupt) {
  const auto shortly = Deadline::After(std::chrono::milliseconds(30));
  EXPECT_ERROR(GlooCommunicator::Connect(0, "127.0.0.1", TakeMesh(0), shortly), kDeadlineExceeded,
               "listening to rank 1");
  ConnectBoth(2);
  Interrupt interrupt;
  std::jthread joining([&] {
    EXPECT_ERROR(
        GlooCommunicator::Connect(0, "127.0.0.1", TakeMesh(0), {Deadline::Infinite(), &interrupt}),
        kAborted, "interrupted");
  });
  interrupt.Raise();
}

// What a rank says over the mesh about where it waits.
std::array<std::byte, 200> AddressNote(uint64_t size, const std::vector<char>& address) {
  std::array<std::byte, 200> note{};
  std::memcpy(note.data(), &size, sizeof(size));
  std::ranges::copy(std::as_bytes(std::span(address)), note.begin() + sizeof(size));
  return note;
}

TEST_F(GlooCommunicatorTest, AddressThatIsTooLongIsAnError) {
  ASSERT_OK(SendAll(connection(1), AddressNote(193, {}), Soon()));
  EXPECT_ERROR(GlooCommunicator::Connect(0, "127.0.0.1", TakeMesh(0), Soon()), kFailedPrecondition,
               "193 bytes");
}

// The peer has told where it waits and would be the one to connect, being at the higher address.
class PeerThatDoesNotConnectTest : public GlooCommunicatorTest {
 protected:
  PeerThatDoesNotConnectTest() {
    const auto device = gloo::transport::tcp::CreateDevice("127.0.0.2");
    context_ = device->createContext(1, 2);
    const std::vector<char> address = context_->createPair(0)->address().bytes();
    EXPECT_OK(SendAll(connection(1), AddressNote(address.size(), address), Soon()));
  }

  std::shared_ptr<gloo::transport::Context> context_;
};

TEST_F(PeerThatDoesNotConnectTest, IsUnavailableWhenItLeaves) {
  std::jthread leaving([mesh = TakeMesh(1)]() mutable {
    std::array<std::byte, 200> note;  // The other rank is about to wait.
    EXPECT_OK(ReceiveAll(mesh[0], note, Soon()));
    mesh.clear();
  });
  EXPECT_ERROR(GlooCommunicator::Connect(0, "127.0.0.1", TakeMesh(0), Deadline::Infinite()),
               kUnavailable, "rank 1 is gone");
}

TEST_F(PeerThatDoesNotConnectTest, IsWaitedForUntilTheDeadline) {
  const auto shortly = Deadline::After(std::chrono::milliseconds(50));
  EXPECT_ERROR(GlooCommunicator::Connect(0, "127.0.0.1", TakeMesh(0), shortly), kDeadlineExceeded,
               "rank 1 did not connect");
}

}  // namespace
}  // namespace pipeserve
