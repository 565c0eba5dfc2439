#include "executor/shm_communicator.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <Eigen/Core>
#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <random>
#include <thread>
#include <utility>

#include "executor/join_collectives.h"
#include "executor/local_communicator.h"
#include "support/fork.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using std::chrono::milliseconds;
using Group = std::vector<std::shared_ptr<Communicator>>;

Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }
Deadline Shortly() { return Deadline::After(milliseconds(20)); }

FileDescriptor Duplicate(int fd) { return FileDescriptor(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

// A connection per pair of ranks, as ConnectMesh() makes them: the ends of each rank, by peer.
std::vector<std::vector<Socket>> ConnectPairs(int size) {
  std::vector<std::vector<Socket>> ends(size);
  for (auto& each : ends) each.resize(size);
  for (int low = 0; low < size; ++low) {
    for (int high = low + 1; high < size; ++high) {
      int fds[2];
      EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
      ends[low][high] = Socket(fds[0]);
      ends[high][low] = Socket(fds[1]);
    }
  }
  return ends;
}

ShmSegment MapAgain(const ShmSegment& segment, int size) {
  return ShmSegment::Map(Duplicate(segment.fd()), size).value();
}

Group MakeShmCommunicators(int size) {
  const ShmSegment segment = ShmSegment::Create(size).value();
  auto ends = ConnectPairs(size);
  Group group;
  for (int rank = 0; rank < size; ++rank) {
    group.push_back(
        std::make_shared<ShmCommunicator>(rank, std::move(ends[rank]), MapAgain(segment, size)));
  }
  return group;
}

void RunRanks(const Group& group, const std::function<void(Communicator&)>& body) {
  std::vector<std::jthread> threads;
  for (const auto& each : group) threads.emplace_back([&body, &each] { body(*each); });
}

// Bytes of random elements, different for every rank.
std::vector<std::byte> RandomElements(DataType dtype, size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> floats(-1000.0F, 1000.0F);
  std::vector<std::byte> bytes(count * DataTypeSize(dtype));
  for (size_t i = 0; i < count; ++i) {
    const float value = floats(random);
    const Eigen::half half(value);
    const uint32_t integer = random();
    const void* element = dtype == DataType::kFloat16   ? static_cast<const void*>(&half)
                          : dtype == DataType::kFloat32 ? static_cast<const void*>(&value)
                                                        : static_cast<const void*>(&integer);
    std::memcpy(&bytes[i * DataTypeSize(dtype)], element, DataTypeSize(dtype));
  }
  return bytes;
}

std::vector<std::byte> SumOf(Communicator& self, DataType dtype, size_t count) {
  std::vector<std::byte> data = RandomElements(dtype, count, self.rank() + 1);
  EXPECT_OK(self.AllReduceSum({}, dtype, data.data(), data.data(), count, Soon()));
  return data;
}

TEST(ShmCommunicatorTest, SumsHaveTheBitsOfTheLocalCommunicator) {
  const Group shm = MakeShmCommunicators(3), local = MakeLocalCommunicators(3);
  for (const DataType dtype : {DataType::kFloat16, DataType::kFloat32, DataType::kInt32}) {
    const size_t slot = kSlotBytes / DataTypeSize(dtype);
    for (const size_t count :
         {size_t{5}, size_t{999}, size_t{20'001}, slot - 1, slot, slot + 1, 3 * slot + 7}) {
      std::array<std::vector<std::byte>, 3> wanted, came;
      RunRanks(local, [&](Communicator& self) { wanted[self.rank()] = SumOf(self, dtype, count); });
      RunRanks(shm, [&](Communicator& self) { came[self.rank()] = SumOf(self, dtype, count); });
      EXPECT_TRUE(came == wanted) << DataTypeName(dtype) << " x " << count;
    }
  }
}

TEST(ShmCommunicatorTest, PiecesLargerThanASlotAreGatheredInPlace) {
  RunRanks(MakeShmCommunicators(3), [](Communicator& self) {
    for (const size_t bytes : {kSlotBytes - 1, kSlotBytes, kSlotBytes + 1, 3 * kSlotBytes + 5}) {
      std::vector<uint8_t> output(3 * bytes, 99), wanted;
      std::memset(&output[self.rank() * bytes], self.rank(), bytes);
      for (int rank = 0; rank < 3; ++rank) wanted.insert(wanted.end(), bytes, rank);
      ASSERT_OK(self.AllGather({}, &output[self.rank() * bytes], bytes, output.data(), Soon()));
      EXPECT_TRUE(output == wanted) << bytes;
    }
  });
}

// Slots are used again while members of earlier rounds, in other groups, may still read them.
TEST(ShmCommunicatorTest, GroupsOfAnyOrderNeverMixTheirPieces) {
  RunRanks(MakeShmCommunicators(4), [](Communicator& self) {
    std::mt19937 same(7), own(self.rank());  // All ranks draw the same groups.
    for (int round = 0; round < 3'000; ++round) {
      std::vector<int32_t> group;
      const uint32_t members = same() % 15 + 1;
      for (int32_t rank = 0; rank < 4; ++rank) {
        if ((members >> rank & 1) != 0) group.push_back(rank);
      }
      if ((members >> self.rank() & 1) == 0) continue;
      const std::vector<int32_t> input(500, round * 4 + self.rank());
      if (own() % 3 == 0) {
        ASSERT_OK(self.AllGather(group, input.data(), 2000, nullptr, Soon()));
        continue;
      }
      std::vector<int32_t> output(group.size() * input.size()), wanted;
      for (const int32_t rank : group) wanted.insert(wanted.end(), 500, round * 4 + rank);
      ASSERT_OK(self.AllGather(group, input.data(), 2000, output.data(), Soon()));
      ASSERT_TRUE(output == wanted) << round;
      if (own() % 4 == 0) std::this_thread::yield();
    }
  });
}

TEST(ShmCommunicatorTest, SteadyOperationsCauseNoPageFaults) {
  RunRanks(MakeShmCommunicators(2), [](Communicator& self) {
    std::vector<float> data(100'000);
    const auto sum = [&] {
      ASSERT_OK(
          self.AllReduceSum({}, DataType::kFloat32, data.data(), data.data(), data.size(), Soon()));
    };
    const auto faults = [] {
      rusage usage{};
      getrusage(RUSAGE_THREAD, &usage);
      return usage.ru_minflt + usage.ru_majflt;
    };
    for (int i = 0; i < 3; ++i) sum();
    const long before = faults();
    for (int i = 0; i < 20; ++i) sum();
#if !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)  // They touch memory of their own.
    EXPECT_EQ(faults(), before);
#endif
  });
}

// Rank 0 of three, whose peers are played by the test.
class Victim {
 public:
  Victim() : ends_(ConnectPairs(3)), segment_(ShmSegment::Create(3).value()) {
    self_ = std::make_unique<ShmCommunicator>(0, std::move(ends_[0]), MapAgain(segment_, 3));
  }

  Status Gather(std::vector<int32_t> group, Deadline deadline = Soon()) {
    const int32_t input = 5;
    std::array<int32_t, 3> output;
    return self_->AllGather(group, &input, 4, output.data(), deadline);
  }

  Status Contribute(std::vector<int32_t> group, Deadline deadline = Soon()) {
    const int32_t input = 5;
    return self_->AllGather(group, &input, 4, nullptr, deadline);
  }

  Status Receive(int peer) {
    int32_t output = 0;
    return self_->Receive(peer, 3, &output, 4, Soon());
  }
  Status Send(int peer) {
    const int32_t input = 5;
    return self_->Send(peer, 3, &input, 4, Soon());
  }

  // What `peer` writes for a message to rank 0, and about those that it has taken.
  void WriteMessage(int peer, uint64_t count, const PieceHeader& header = HonestMessage()) {
    ShmSegment::WriteHeader(segment_.message(peer, 0, 0), header);
    segment_.sent(peer, 0).store(count);
    segment_.mail(0).Ring();
  }
  void WriteTaken(int peer, uint64_t count) { segment_.taken(peer, 0).store(count); }

  static PieceHeader HonestMessage() {
    return {.call = {.kind = CollectiveCall::Kind::kMessage, .members = 2, .bytes = 4, .tag = 3}};
  }

  // What `peer` writes for its round with rank 0.
  void Write(int peer, uint64_t mark, const PieceHeader& header = HonestHeader()) {
    segment_.WriteHeader(peer, mark & 1, header);
    segment_.mark(peer, 0).store(mark);
    segment_.complete(0).Ring();
  }
  void HangUp(int peer) { ends_[peer][0] = Socket(); }
  void Chatter(int peer) { EXPECT_EQ(send(ends_[peer][0].fd(), "x", 1, 0), 1); }
  void RingForNothing() { segment_.complete(0).Ring(); }

  static PieceHeader HonestHeader() {
    return {.call = {.kind = CollectiveCall::Kind::kAllGather, .members = 2, .bytes = 4}};
  }

 private:
  std::vector<std::vector<Socket>> ends_;
  const ShmSegment segment_;
  std::unique_ptr<Communicator> self_;
};

uint64_t Begun(uint64_t round) { return RoundMark{.sequence = round}.Pack(); }
uint64_t Finished(uint64_t round) { return RoundMark{.sequence = round, .finished = true}.Pack(); }

TEST(ShmCommunicatorTest, HonestPeerOfAllThatFollowsIsBelieved) {
  for (const uint64_t mark : {Begun(1), Finished(1), Begun(1) | 1}) {
    Victim victim;
    victim.Write(1, mark);
    EXPECT_OK(victim.Gather({0, 1}));
  }
}

TEST(ShmCommunicatorTest, APeerThatNeedsNothingIsAheadByARound) {
  Victim victim;
  victim.Write(1, Finished(1));
  victim.Write(1, Finished(2) | 1);
  EXPECT_OK(victim.Gather({0, 1}));
  EXPECT_OK(victim.Gather({0, 1}));
}

TEST(ShmCommunicatorTest, WhoNeedsNothingGoesOnUntilItsSlotsAreFull) {
  Victim victim;
  EXPECT_OK(victim.Contribute({0, 1}));
  EXPECT_OK(victim.Contribute({0, 1}));
  EXPECT_ERROR(victim.Contribute({0, 1}, Shortly()), kDeadlineExceeded, "rank 1 did not finish");
}

TEST(ShmCommunicatorTest, WhoNeedsNothingWaitsForNobodyWhoHasComeAndGone) {
  Victim victim;
  for (uint64_t round = 1; round < 6; ++round) {
    EXPECT_OK(victim.Contribute({0, 1}));
    victim.Write(1, Finished(round) | (round % 2));
  }
}

TEST(ShmCommunicatorTest, ImpossibleMarksBreakTheGroup) {
  for (const uint64_t mark : {~uint64_t{0}, Begun(3), Begun(uint64_t{1} << 61)}) {
    Victim victim;
    victim.Write(1, mark);
    const Status status = victim.Gather({0, 1});
    EXPECT_ERROR(status, kFailedPrecondition, "rank 1 wrote garbage into shared memory");
    EXPECT_EQ(victim.Gather({0, 1}), status);
  }
}

TEST(ShmCommunicatorTest, MarkThatGoesBackBreaksTheGroup) {
  Victim victim;
  victim.Write(1, Begun(1));
  ASSERT_OK(victim.Gather({0, 1}));
  victim.Write(1, Begun(2));
  ASSERT_OK(victim.Gather({0, 1}));
  victim.Write(1, 0);
  EXPECT_ERROR(victim.Gather({0, 1}), kFailedPrecondition, "it is in round 0, wanted 2 to 4");
}

TEST(ShmCommunicatorTest, GarbageInHeadersBreaksTheGroup) {
  std::vector<PieceHeader> headers(4, Victim::HonestHeader());
  headers[0].call.bytes = ~uint64_t{0};
  headers[1].begin = 1 << 30;
  headers[2].is_sum = 7;
  std::memset(static_cast<void*>(&headers[3]), 0xff, sizeof(PieceHeader));
  for (const PieceHeader& header : headers) {
    Victim victim;
    victim.Write(1, Begun(1), header);
    const Status status = victim.Gather({0, 1});
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
    EXPECT_EQ(victim.Gather({0, 1}), status);
  }
}

TEST(ShmCommunicatorTest, RingsForNothingDoNotOutlastTheDeadline) {
  Victim victim;
  std::atomic<bool> over{false};
  std::jthread ringer([&] {
    while (!over.load()) victim.RingForNothing();
  });
  EXPECT_ERROR(victim.Gather({0, 1}, Shortly()), kDeadlineExceeded, "rank 1 did not come");
  over.store(true);
}

TEST(ShmCommunicatorTest, ReaderThatNeverFinishesIsADeadlineErrorOfAnotherGroup) {
  Victim victim;
  victim.Write(1, Begun(1));
  victim.Write(2, Begun(1));
  ASSERT_OK(victim.Gather({0, 1}));  // Rank 1 goes on to read the first slot.
  ASSERT_OK(victim.Gather({0, 2}));
  victim.Write(2, Begun(2));
  EXPECT_ERROR(victim.Gather({0, 2}, Shortly()), kDeadlineExceeded, "rank 1 did not finish");
}

TEST(ShmCommunicatorTest, ReaderThatIsGoneIsNotWaitedFor) {
  Victim victim;
  victim.Write(1, Begun(1));
  victim.Write(2, Begun(1));
  ASSERT_OK(victim.Gather({0, 1}));
  ASSERT_OK(victim.Gather({0, 2}));
  victim.Write(2, Begun(2));
  std::jthread leaving([&] { victim.HangUp(1); });
  EXPECT_OK(victim.Gather({0, 2}));
}

TEST(ShmCommunicatorTest, PeerThatTalksOnItsConnectionIsGone) {
  Victim victim;
  victim.Chatter(1);
  EXPECT_ERROR(victim.Gather({0, 1}), kUnavailable, "rank 1 is gone");
}

// Ranks as processes, which exit with the code of the status that ends them.
class Processes {
 public:
  explicit Processes(int size) {
    std::vector<std::string> peers;
    std::vector<SocketListener> listeners;
    for (int rank = 0; rank < size; ++rank) {
      listeners.push_back(SocketListener::Open("127.0.0.1:0").value());
      peers.push_back(listeners.back().address());
    }
    for (int rank = 0; rank < size; ++rank) {
      children_.push_back(fork());
      EXPECT_GE(children_.back(), 0);
      if (children_.back() != 0) continue;
      auto joined =
          JoinCollectives(listeners[rank], rank, peers, 1, Soon(), Collectives::kSharedMemory);
      _exit(static_cast<int>(joined.ok() ? Loop(**joined) : joined.status().code()));
    }
  }
  ~Processes() {
    for (const pid_t child : children_) {
      if (child > 0) kill(child, SIGKILL);
    }
  }

  void Kill(int rank) { EXPECT_EQ(kill(children_[rank], SIGKILL), 0); }
  // Waits until it ends: -1 when it was killed.
  int Wait(int rank) {
    int status = 0;
    EXPECT_GT(waitpid(std::exchange(children_[rank], 0), &status, 0), 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  // Waits until every rank has done some rounds.
  void AwaitProgress() const { EXPECT_TRUE(progress().WaitWhile(0, Soon())); }

 private:
  static constexpr int kWarmRounds = 50;

  StatusCode Loop(Communicator& self) const {
    std::vector<float> data(5'000, 1.0F), all(data.size() * self.size());
    for (int round = 0;; ++round) {
      const Deadline deadline = Deadline::After(std::chrono::seconds(60));
      Status status = self.AllGather({}, data.data(), data.size() * 4, all.data(), deadline);
      if (status.ok()) {
        status = self.AllReduceSum({}, DataType::kFloat32, data.data(), all.data(), data.size(),
                                   deadline);
      }
      if (!status.ok()) return status.code();
      if (round == kWarmRounds) progress().Ring();
    }
  }
  Doorbell& progress() const { return *reinterpret_cast<Doorbell*>(memory_.data()); }

  const SharedMemory memory_ = SharedMemory::Create("progress", sizeof(Doorbell)).value();
  std::vector<pid_t> children_;
};

size_t NamesInSharedMemory() {
  if (!std::filesystem::exists("/dev/shm")) return 0;
  const std::filesystem::directory_iterator all("/dev/shm");
  return std::distance(begin(all), end(all));
}

TEST(ShmCommunicatorTest, KilledProcessIsUnavailableToTheOthersAtOnceAndLeavesNothing) {
  SKIP_IF_FORK_MAY_HANG();
  const size_t names = NamesInSharedMemory();
  for (const int killed : {0, 2}) {
    Processes ranks(4);
    ranks.AwaitProgress();
    const TimePoint begin = Clock::System().Now();
    ranks.Kill(killed);
    for (int rank = 0; rank < 4; ++rank) {
      const int wanted = rank == killed ? -1 : static_cast<int>(StatusCode::kUnavailable);
      EXPECT_EQ(ranks.Wait(rank), wanted) << rank;
    }
    EXPECT_LT(Clock::System().Now() - begin, std::chrono::seconds(20));  // Of 60.
  }
  EXPECT_EQ(NamesInSharedMemory(), names);
}

TEST(ShmCommunicatorTest, HonestMessagesAreBelieved) {
  Victim victim;
  victim.WriteMessage(1, 1);
  EXPECT_OK(victim.Receive(1));
  EXPECT_OK(victim.Send(1));
  victim.WriteTaken(1, 1);
  EXPECT_OK(victim.Send(1));
}

TEST(ShmCommunicatorTest, CountsOfMessagesThatCannotBeAreGarbage) {
  for (const uint64_t count : {kSlots + 1, UINT64_MAX}) {
    Victim victim;
    victim.WriteMessage(1, count);
    EXPECT_ERROR(victim.Receive(1), kFailedPrecondition, "rank 1 wrote garbage");
  }
  Victim victim;
  victim.WriteTaken(1, 1);
  EXPECT_ERROR(victim.Send(1), kFailedPrecondition,
               "rank 1 wrote garbage into shared memory: it counts 1 messages, wanted 0 to 0");
}

TEST(ShmCommunicatorTest, MessageOfAnotherSizeIsNotCopied) {
  Victim victim;
  PieceHeader header = Victim::HonestMessage();
  header.call.bytes = size_t{1} << 40;
  victim.WriteMessage(1, 1, header);
  EXPECT_ERROR(victim.Receive(1), kFailedPrecondition, "ranks disagree about a message");
  Victim other;
  header = Victim::HonestMessage();
  header.begin = size_t{1} << 40;
  other.WriteMessage(1, 1, header);
  EXPECT_ERROR(other.Receive(1), kFailedPrecondition, "wrote garbage");
}

}  // namespace
}  // namespace pipeserve
