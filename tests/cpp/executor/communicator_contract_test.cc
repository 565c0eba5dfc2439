// What every Communicator promises, held against each implementation.
#include <Eigen/Core>
#include <cmath>
#include <csignal>
#include <cstring>
#include <functional>
#include <numeric>
#include <thread>

#include "executor/gloo_communicator.h"
#include "executor/join_collectives.h"
#include "executor/local_communicator.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using Group = std::vector<std::shared_ptr<Communicator>>;

Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }

// Runs `body` once per rank, each in a thread of its own.
void RunRanks(const Group& group, const std::function<void(Communicator&)>& body) {
  std::vector<std::jthread> threads;
  for (const auto& each : group) threads.emplace_back([&body, &each] { body(*each); });
}

Group Join(int size, Collectives wanted) {
  std::vector<SocketListener> listeners;
  std::vector<std::string> peers;
  for (int rank = 0; rank < size; ++rank) {
    listeners.push_back(SocketListener::Open("127.0.0.1:0").value());
    peers.push_back(listeners.back().address());
  }
  Group group(size);
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      auto made = JoinCollectives(listeners[rank], rank, peers, 1, Soon(), wanted,
                                  &GlooCommunicator::Connect);
      ASSERT_OK(made);
      group[rank] = *std::move(made);
    });
  }
  for (auto& thread : threads) thread.join();
  return group;
}

Group MakeSocketCommunicators(int size) { return Join(size, Collectives::kSockets); }
Group MakeShmCommunicators(int size) { return Join(size, Collectives::kSharedMemory); }
Group MakeGlooCommunicators(int size) {
  std::signal(SIGPIPE, SIG_IGN);
  return Join(size, Collectives::kGloo);
}

struct Implementation {
  std::string name;
  Group (*make)(int size);
};

class CommunicatorContractTest : public ::testing::TestWithParam<Implementation> {
 protected:
  static Group Make(int size) { return GetParam().make(size); }
};

INSTANTIATE_TEST_SUITE_P(Implementations, CommunicatorContractTest,
                         ::testing::Values(Implementation{"Local", &MakeLocalCommunicators},
                                           Implementation{"Socket", &MakeSocketCommunicators},
                                           Implementation{"Shm", &MakeShmCommunicators},
                                           Implementation{"Gloo", &MakeGlooCommunicators}),
                         [](const auto& info) { return info.param.name; });

TEST_P(CommunicatorContractTest, KnowsRankAndSize) {
  const Group group = Make(3);
  for (int rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(group[rank]->rank(), rank);
    EXPECT_EQ(group[rank]->size(), 3);
  }
}

TEST_P(CommunicatorContractTest, AllGatherPutsPiecesInRankOrder) {
  RunRanks(Make(4), [](Communicator& self) {
    for (const size_t count : {0, 1, 3, 300'000, 2}) {
      std::vector<int32_t> input(count, self.rank() + 7), output(4 * count), wanted;
      for (int rank = 0; rank < 4; ++rank) wanted.insert(wanted.end(), count, rank + 7);
      ASSERT_OK(self.AllGather({}, input.data(), count * 4, output.data(), Soon()));
      EXPECT_EQ(output, wanted);
    }
  });
}

TEST_P(CommunicatorContractTest, AllGatherWorksInPlace) {
  RunRanks(Make(3), [](Communicator& self) {
    std::vector<int32_t> output(3, -1);
    output[self.rank()] = self.rank();
    ASSERT_OK(self.AllGather({}, &output[self.rank()], 4, output.data(), Soon()));
    EXPECT_EQ(output, (std::vector<int32_t>{0, 1, 2}));
  });
}

TEST_P(CommunicatorContractTest, AllReduceAddsInRankOrderWithTheSameBitsEverywhere) {
  constexpr size_t kCount = 300'001;
  // Large terms that cancel: any other order of adding gives other bits.
  const float terms[] = {1e8F, 0.3F, -1e8F, 0.7F};
  const float wanted = ((terms[0] + terms[1]) + terms[2]) + terms[3];
  RunRanks(Make(4), [&](Communicator& self) {
    std::vector<float> data(kCount, terms[self.rank()]);
    ASSERT_OK(self.AllReduceSum({}, DataType::kFloat32, data.data(), data.data(), kCount, Soon()));
    EXPECT_EQ(data, std::vector<float>(kCount, wanted));
  });
}

TEST_P(CommunicatorContractTest, MembersThatNeedNoResultGiveTheirPartOnly) {
  RunRanks(Make(4), [](Communicator& self) {
    for (int round = 0; round < 40; ++round) {
      const size_t count = round % 8 == 7 ? 100'000 : 300;
      const std::vector<int32_t> input(count, self.rank() + round);
      std::vector<int32_t> sum(count), pieces(4 * count);
      const bool is_wanted = (round + self.rank()) % 4 < 2;
      ASSERT_OK(self.AllReduceSum({}, DataType::kInt32, input.data(),
                                  is_wanted ? sum.data() : nullptr, count, Soon()));
      ASSERT_OK(
          self.AllGather({}, input.data(), count * 4, is_wanted ? pieces.data() : nullptr, Soon()));
      if (!is_wanted) continue;
      EXPECT_EQ(sum, std::vector<int32_t>(count, 6 + 4 * round));
      for (size_t rank = 0; rank < 4; ++rank) {
        EXPECT_EQ(pieces[rank * count], static_cast<int32_t>(rank) + round);
        EXPECT_EQ(pieces[(rank + 1) * count - 1], static_cast<int32_t>(rank) + round);
      }
    }
  });
}

TEST_P(CommunicatorContractTest, AllReduceOfHalvesAddsInFloat) {
  RunRanks(Make(3), [](Communicator& self) {
    // In float16 2048 + 1 is 2048, so that adding in it would give 2048.
    const Eigen::half input(self.rank() == 0 ? 2048.0F : 1.0F);
    Eigen::half output(0.0F);
    ASSERT_OK(self.AllReduceSum({}, DataType::kFloat16, &input, &output, 1, Soon()));
    EXPECT_EQ(static_cast<float>(output), 2050.0F);
  });
}

TEST_P(CommunicatorContractTest, AllReduceOfIntegersTakesAnyCount) {
  RunRanks(Make(3), [](Communicator& self) {
    for (const size_t count : {0, 1, 3, 1000}) {
      std::vector<int32_t> input(count), output(count), wanted(count);
      for (size_t i = 0; i < count; ++i) {
        input[i] = static_cast<int32_t>(i) * (self.rank() + 1);
        wanted[i] = static_cast<int32_t>(i) * 6;
      }
      ASSERT_OK(
          self.AllReduceSum({}, DataType::kInt32, input.data(), output.data(), count, Soon()));
      EXPECT_EQ(output, wanted);
    }
  });
}

TEST_P(CommunicatorContractTest, GroupOfOneIsACopy) {
  RunRanks(Make(1), [](Communicator& self) {
    const int32_t input = 5;
    int32_t output = 0;
    ASSERT_OK(self.AllReduceSum({}, DataType::kInt32, &input, &output, 1, Soon()));
    EXPECT_EQ(output, 5);
  });
}

TEST_P(CommunicatorContractTest, DisjointGroupsWorkAtTheSameTimeAndMixWithTheWorld) {
  RunRanks(Make(4), [](Communicator& self) {
    const std::vector<int32_t> pair =
        self.rank() % 2 == 0 ? std::vector<int32_t>{0, 2} : std::vector<int32_t>{1, 3};
    for (int round = 0; round < 200; ++round) {
      int32_t value = self.rank() + round, sum = 0;
      ASSERT_OK(self.AllReduceSum(pair, DataType::kInt32, &value, &sum, 1, Soon()));
      EXPECT_EQ(sum, pair[0] + pair[1] + 2 * round);
      ASSERT_OK(self.AllReduceSum({}, DataType::kInt32, &value, &sum, 1, Soon()));
      EXPECT_EQ(sum, 6 + 4 * round);
    }
  });
}

TEST_P(CommunicatorContractTest, SubGroupsExchangeLargePieces) {
  RunRanks(Make(4), [](Communicator& self) {
    const std::vector<int32_t> three{0, 1, 3};
    if (self.rank() == 2) return;
    const int own = self.rank() == 3 ? 2 : self.rank();
    std::vector<float> data(200'003, static_cast<float>(1 << own));
    std::vector<float> gathered(3 * data.size()), wanted;
    for (int i = 0; i < 3; ++i)
      wanted.insert(wanted.end(), data.size(), static_cast<float>(1 << i));
    ASSERT_OK(self.AllGather(three, data.data(), data.size() * 4, gathered.data(), Soon()));
    EXPECT_EQ(gathered, wanted);
    ASSERT_OK(self.AllReduceSum(three, DataType::kFloat32, data.data(), data.data(), data.size(),
                                Soon()));
    EXPECT_EQ(data, std::vector<float>(data.size(), 7.0F));
  });
}

// Sums of every size and type have the bits that adding in rank order gives.
TEST_P(CommunicatorContractTest, SumsHaveTheBitsOfAddingInRankOrder) {
  constexpr int kRanks = 5;
  constexpr size_t kMost = 70'001;
  const auto term = [](int rank, size_t i) {  // Of all magnitudes, some cancel.
    return std::ldexp(static_cast<float>((i * 37 + rank * 101) % 997) - 498.0F,
                      static_cast<int>(i + rank) % 11 - 8);
  };
  RunRanks(Make(kRanks), [&](Communicator& self) {
    for (const size_t count : {size_t{7}, size_t{4'097}, kMost}) {
      std::vector<float> floats(count), wanted_floats(count);
      std::vector<Eigen::half> halves(count), wanted_halves(count);
      for (size_t i = 0; i < count; ++i) {
        floats[i] = term(self.rank(), i);
        halves[i] = Eigen::half(floats[i]);
        wanted_floats[i] = term(0, i);
        float half_sum = static_cast<float>(Eigen::half(term(0, i)));
        for (int rank = 1; rank < kRanks; ++rank) {
          wanted_floats[i] += term(rank, i);
          half_sum += static_cast<float>(Eigen::half(term(rank, i)));
        }
        wanted_halves[i] = Eigen::half(half_sum);
      }
      ASSERT_OK(
          self.AllReduceSum({}, DataType::kFloat32, floats.data(), floats.data(), count, Soon()));
      ASSERT_OK(
          self.AllReduceSum({}, DataType::kFloat16, halves.data(), halves.data(), count, Soon()));
      EXPECT_EQ(std::memcmp(floats.data(), wanted_floats.data(), count * sizeof(float)), 0);
      EXPECT_EQ(std::memcmp(halves.data(), wanted_halves.data(), count * sizeof(Eigen::half)), 0);
    }
  });
}

TEST_P(CommunicatorContractTest, DisagreementNamesBothAndBreaks) {
  RunRanks(Make(2), [](Communicator& self) {
    std::vector<std::byte> input(64), output(128);
    const Status status =
        self.AllGather({}, input.data(), self.rank() == 0 ? 8 : 16, output.data(), Soon());
    // Over sockets the slower rank may find the other one gone already.
    if (status.code() != StatusCode::kUnavailable) {
      EXPECT_ERROR(status, kFailedPrecondition, "AllGather of 8 bytes by 2 ranks");
      EXPECT_ERROR(status, kFailedPrecondition, "AllGather of 16 bytes by 2 ranks");
    }
    EXPECT_EQ(self.AllGather({}, input.data(), 8, output.data(), Soon()), status);
  });
}

TEST_P(CommunicatorContractTest, RankThatNeverComesIsADeadlineError) {
  const Group group = Make(2);
  int32_t value = 1, sum = 0;
  const auto deadline = Deadline::After(std::chrono::milliseconds(20));
  const Status status = group[0]->AllReduceSum({}, DataType::kInt32, &value, &sum, 1, deadline);
  EXPECT_ERROR(status, kDeadlineExceeded, "rank 1 did not come");
  EXPECT_EQ(group[0]->AllReduceSum({}, DataType::kInt32, &value, &sum, 1, Soon()), status);
}

TEST_P(CommunicatorContractTest, AbortWakesThisRankAndItsPeers) {
  const Group group = Make(3);
  std::jthread peer([&] {
    int32_t value = 1, sum = 0;
    const Status status =
        group[1]->AllReduceSum({}, DataType::kInt32, &value, &sum, 1, Deadline::Infinite());
    EXPECT_TRUE(status.code() == StatusCode::kAborted || status.code() == StatusCode::kUnavailable)
        << status;
  });
  std::jthread aborter([&] {
    group[0]->Abort(Aborted("the epoch ended"));
    group[0]->Abort(Aborted("too late"));
  });
  int32_t value = 1, sum = 0;  // Rank 2 never comes.
  const Status status =
      group[0]->AllReduceSum({}, DataType::kInt32, &value, &sum, 1, Deadline::Infinite());
  EXPECT_ERROR(status, kAborted, "the epoch ended");
}

TEST_P(CommunicatorContractTest, DestroyedPeerIsUnavailableToTheOthers) {
  Group group = Make(3);
  std::shared_ptr<Communicator> leaving = std::move(group[1]);
  group.erase(group.begin() + 1);
  std::jthread destroyer([&] { leaving.reset(); });
  RunRanks(group, [](Communicator& self) {
    std::vector<std::byte> input(1 << 20), output(3 << 20);
    EXPECT_ERROR(self.AllGather({}, input.data(), input.size(), output.data(), Soon()),
                 kUnavailable, "is gone");
  });
}

TEST_P(CommunicatorContractTest, ResultStaysWhenAPeerLeavesRightAfterIt) {
  Group group = Make(3);
  std::vector<std::jthread> threads;
  for (auto& each : group) {
    threads.emplace_back([self = std::move(each)]() mutable {
      int32_t value = 1, sum = 0;
      EXPECT_OK(self->AllReduceSum({}, DataType::kInt32, &value, &sum, 1, Soon()));
      EXPECT_EQ(sum, 3);
      self.reset();
    });
  }
}

TEST_P(CommunicatorContractTest, MessagesArriveInTheirOrderAmongCollectives) {
  RunRanks(Make(3), [](Communicator& self) {
    const int32_t next = (self.rank() + 1) % 3, previous = (self.rank() + 2) % 3;
    int64_t tag = 0;
    for (const size_t count : {0, 1, 300, 20'000, 1'000'003, 2}) {
      std::vector<int32_t> sent(count), wanted(count), came(count, -1);
      std::iota(sent.begin(), sent.end(), self.rank());
      std::iota(wanted.begin(), wanted.end(), previous);
      ASSERT_OK(self.Send(next, ++tag, sent.data(), count * 4, Soon()));
      ASSERT_OK(self.Send(next, ++tag, &count, sizeof(count), Soon()));
      sent.assign(count, -2);  // The messages have their own copies.
      ASSERT_OK(self.Receive(previous, tag - 1, came.data(), count * 4, Soon()));
      EXPECT_EQ(came, wanted);
      size_t came_count = 0;
      ASSERT_OK(self.Receive(previous, tag, &came_count, sizeof(came_count), Soon()));
      EXPECT_EQ(came_count, count);
      int32_t one = 1, sum = 0;
      ASSERT_OK(self.AllReduceSum({}, DataType::kInt32, &one, &sum, 1, Soon()));
      EXPECT_EQ(sum, 3);
    }
  });
}

// One thread does both, so that no Send() can wait for a Receive().
TEST_P(CommunicatorContractTest, SendDoesNotWaitForItsReceiver) {
  const Group group = Make(2);
  constexpr size_t kCount = 500'000;
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < Communicator::kMostUntaken; ++i) {
      for (const int32_t from : {0, 1}) {
        const std::vector<int32_t> sent(kCount, static_cast<int32_t>(i) + 10 * from);
        ASSERT_OK(group[from]->Send(1 - from, 7, sent.data(), kCount * 4, Soon()));
      }
    }
    for (size_t i = 0; i < Communicator::kMostUntaken; ++i) {
      for (const int32_t from : {0, 1}) {
        std::vector<int32_t> came(kCount);
        ASSERT_OK(group[1 - from]->Receive(from, 7, came.data(), kCount * 4, Soon()));
        EXPECT_EQ(came, std::vector<int32_t>(kCount, static_cast<int32_t>(i) + 10 * from));
      }
    }
  }
}

TEST_P(CommunicatorContractTest, WhatNobodyTakesIsBounded) {
  const Group group = Make(2);
  const std::vector<std::byte> message(1 << 20);
  constexpr int kFarTooMany = 64;
  Status status;
  for (int i = 0; i < kFarTooMany && status.ok(); ++i) {
    const auto deadline = Deadline::After(std::chrono::milliseconds(200));
    status = group[0]->Send(1, 7, message.data(), message.size(), deadline);
  }
  EXPECT_ERROR(status, kDeadlineExceeded, "rank 1 did not take what rank 0 sent before message 7");
  EXPECT_EQ(group[0]->Send(1, 7, message.data(), 1, Soon()), status);
}

TEST_P(CommunicatorContractTest, ReceiverThatAsksForAnotherMessageNamesBothAndBreaks) {
  const auto disagree = [](int64_t tag, size_t bytes) {
    const Group group = Make(2);
    std::vector<std::byte> data(64);
    EXPECT_OK(group[0]->Send(1, 3, data.data(), 8, Soon()));
    const Status status = group[1]->Receive(0, tag, data.data(), bytes, Soon());
    EXPECT_EQ(group[1]->Receive(0, 3, data.data(), 8, Soon()), status);
    return status;
  };
  EXPECT_ERROR(disagree(4, 8), kFailedPrecondition,
               "rank 1 wants message 4 of 8 bytes, rank 0 wants message 3 of 8 bytes");
  EXPECT_ERROR(disagree(3, 16), kFailedPrecondition,
               "rank 1 wants message 3 of 16 bytes, rank 0 wants message 3 of 8 bytes");
}

TEST_P(CommunicatorContractTest, MessageThatNeverComesIsADeadlineError) {
  const Group group = Make(2);
  int32_t value = 0;
  const auto deadline = Deadline::After(std::chrono::milliseconds(20));
  EXPECT_ERROR(group[0]->Receive(1, 5, &value, 4, deadline), kDeadlineExceeded,
               "rank 1 did not come to message 5 of 4 bytes of rank 0");
}

TEST_P(CommunicatorContractTest, AbortWakesAReceiverAndASenderThatWaits) {
  const Group waiting = Make(2), full = Make(2);
  std::jthread receiver([&] {
    int32_t value = 0;
    EXPECT_ERROR(waiting[0]->Receive(1, 5, &value, 4, Deadline::Infinite()), kAborted, "ended");
  });
  std::jthread sender([&] {
    const std::vector<std::byte> message(1 << 20);
    Status status;
    while (status.ok()) {
      status = full[0]->Send(1, 5, message.data(), message.size(), Deadline::Infinite());
    }
    EXPECT_ERROR(status, kAborted, "ended");
  });
  waiting[0]->Abort(Aborted("the epoch ended"));
  full[0]->Abort(Aborted("the epoch ended"));
}

TEST_P(CommunicatorContractTest, PeerThatIsGoneFailsTheOtherEndOfAMessage) {
  for (const bool is_sender : {false, true}) {
    Group group = Make(2);
    std::jthread destroyer([leaving = std::move(group[1])]() mutable { leaving.reset(); });
    std::vector<std::byte> message(1 << 20);
    Status status;
    while (status.ok()) {
      status = is_sender ? group[0]->Send(1, 5, message.data(), message.size(), Soon())
                         : group[0]->Receive(1, 5, message.data(), message.size(), Soon());
    }
    EXPECT_ERROR(status, kUnavailable, "rank 1 is gone");
  }
}

TEST_P(CommunicatorContractTest, MessagesGoToOtherRanksOfTheGroup) {
  int32_t value = 1;
  for (const int32_t peer : {0, 2, -1}) {
    EXPECT_ERROR(Make(2)[0]->Send(peer, 1, &value, 4, Soon()), kInvalidArgument, "rank 0 of 2");
    EXPECT_ERROR(Make(2)[0]->Receive(peer, 1, &value, 4, Soon()), kInvalidArgument, "rank 0 of 2");
  }
}

TEST_P(CommunicatorContractTest, WrongArgumentsAreErrors) {
  int32_t value = 1, sum = 0;
  const auto reduce = [&](std::vector<int32_t> ranks, DataType dtype, size_t count) {
    return Make(2)[0]->AllReduceSum(ranks, dtype, &value, &sum, count, Soon());
  };
  EXPECT_ERROR(reduce({1}, DataType::kInt32, 1), kInvalidArgument, "group [1] of rank 0");
  EXPECT_ERROR(reduce({0, 2}, DataType::kInt32, 1), kInvalidArgument, "group");
  EXPECT_ERROR(reduce({-1, 0}, DataType::kInt32, 1), kInvalidArgument, "group");
  EXPECT_ERROR(reduce({0, 0}, DataType::kInt32, 1), kInvalidArgument, "group");
  EXPECT_ERROR(reduce({}, DataType::kFloat64, 1), kInvalidArgument, "not float64");
  EXPECT_ERROR(reduce({}, DataType::kInt32, SIZE_MAX / 2), kInvalidArgument, "memory");
}

}  // namespace
}  // namespace pipeserve
