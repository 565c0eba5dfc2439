// What carries the ranks' collectives, side by side: processes of this host that have all ways at
// once and use them in turn, so that what else the machine does hits all alike.
//
// Usage: pipeserve_bench_collectives [ROUNDS]. Prints a table of medians in microseconds, as rank 0
// sees them. "Gloo's own" are its ring algorithms, which add in another order.

#include <gloo/allgather.h>
#include <gloo/allreduce.h>
#include <gloo/math.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/file_store.h>
#include <gloo/transport/tcp/device.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "executor/gloo_communicator.h"
#include "executor/join_collectives.h"

namespace {

using pipeserve::Collectives;
using pipeserve::Communicator;
using pipeserve::Deadline;

constexpr std::array kRanks{2, 4, 8};
constexpr std::array kBytes{size_t{8} << 10, size_t{1} << 20};
constexpr std::array<const char*, 4> kWays{"shared memory", "sockets", "Gloo", "Gloo's own"};
constexpr int kWarmups = 3, kInARow = 20;

[[noreturn]] void Fail(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  _exit(1);
}

// One rank's end of every way.
class Rank {
 public:
  Rank(int rank, std::span<const pipeserve::SocketListener> listeners, const std::string& folder) {
    std::vector<std::string> peers;
    for (const auto& each : listeners) peers.push_back(each.address());
    uint64_t epoch = 0;
    for (const auto way : {Collectives::kSharedMemory, Collectives::kSockets, Collectives::kGloo}) {
      auto joined = pipeserve::JoinCollectives(listeners[rank], rank, peers, ++epoch,
                                               Deadline::After(std::chrono::seconds(30)), way,
                                               &pipeserve::GlooCommunicator::Connect);
      if (!joined.ok()) Fail(joined.status().message());
      ways_.push_back(*std::move(joined));
    }
    auto device = gloo::transport::tcp::CreateDevice("127.0.0.1");
    gloo::rendezvous::FileStore store(folder);
    auto context =
        std::make_shared<gloo::rendezvous::Context>(rank, static_cast<int>(peers.size()));
    context->connectFullMesh(store, device);
    gloo_ = std::move(context);
    input_.resize(kBytes.back() / sizeof(float), 1.0F);
    output_.resize(input_.size() * peers.size());
  }

  void Run(size_t way, bool reduce, size_t bytes) {
    const size_t count = bytes / sizeof(float);
    if (way < ways_.size()) {
      const pipeserve::Status status =
          reduce ? ways_[way]->AllReduceSum({}, pipeserve::DataType::kFloat32, input_.data(),
                                            output_.data(), count, Deadline::Infinite())
                 : ways_[way]->AllGather({}, input_.data(), bytes, output_.data(),
                                         Deadline::Infinite());
      if (!status.ok()) Fail(status.message());
    } else if (reduce) {
      gloo::AllreduceOptions options(gloo_);
      options.setInput(input_.data(), count);
      options.setOutput(output_.data(), count);
      void (*sum)(void*, const void*, const void*, size_t) = &gloo::sum<float>;
      options.setReduceFunction(sum);
      gloo::allreduce(options);
    } else {
      gloo::AllgatherOptions options(gloo_);
      options.setInput(input_.data(), count);
      options.setOutput(output_.data(), count * static_cast<size_t>(gloo_->size));
      gloo::allgather(options);
    }
  }

 private:
  std::vector<std::shared_ptr<Communicator>> ways_;
  std::shared_ptr<gloo::Context> gloo_;
  std::vector<float> input_, output_;
};

double MedianOf(std::vector<double>& times) {
  std::ranges::nth_element(times, times.begin() + static_cast<ptrdiff_t>(times.size() / 2));
  return times[times.size() / 2];
}

// What every rank does; rank 0 prints its rows of the table.
void Measure(Rank& self, bool prints, size_t ranks, int rounds) {
  for (const bool reduce : {false, true}) {
    for (const size_t bytes : kBytes) {
      std::array<std::vector<double>, kWays.size()> times;
      for (int round = 0; round < rounds; ++round) {
        for (size_t way = 0; way < kWays.size(); ++way) {
          for (int i = 0; i < kWarmups + kInARow; ++i) {
            const auto start = std::chrono::steady_clock::now();
            self.Run(way, reduce, bytes);
            const std::chrono::duration<double, std::micro> took =
                std::chrono::steady_clock::now() - start;
            if (i >= kWarmups) times[way].push_back(took.count());
          }
        }
      }
      if (!prints) continue;
      std::printf("| %s of %zu KB, %zu ranks |", reduce ? "AllReduceSum" : "AllGather", bytes >> 10,
                  ranks);
      for (auto& each : times) std::printf(" %.0f |", MedianOf(each));
      std::printf("\n");
      std::fflush(stdout);
    }
  }
}

void Compare(int ranks, int rounds) {
  std::string folder = (std::filesystem::temp_directory_path() / "pipeserve.XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) Fail("cannot make a folder");
  std::vector<pipeserve::SocketListener> listeners;
  for (int rank = 0; rank < ranks; ++rank) {
    listeners.push_back(pipeserve::SocketListener::Open("127.0.0.1:0").value());
  }
  for (int rank = 0; rank < ranks; ++rank) {
    if (fork() != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    {
      Rank self(rank, listeners, folder);
      Measure(self, rank == 0, static_cast<size_t>(ranks), rounds);
    }
    _exit(0);
  }
  bool failed = false;
  for (int status = 0; wait(&status) > 0;) failed = failed || status != 0;
  std::filesystem::remove_all(folder);
  if (failed) Fail("a rank failed");
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 10;
  if (argc > 2 || rounds < 1) Fail("usage: pipeserve_bench_collectives [ROUNDS]");
  std::signal(SIGPIPE, SIG_IGN);  // Gloo counts on it.
  std::printf("| median in us |");
  for (const char* way : kWays) std::printf(" %s |", way);
  std::printf("\n|---|---|---|---|---|\n");
  std::fflush(stdout);  // What is buffered would be printed by every child.
  for (const int ranks : kRanks) Compare(ranks, rounds);
  return 0;
}
