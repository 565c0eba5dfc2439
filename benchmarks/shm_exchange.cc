// The limit of the link to RANKS processes on this host: bytes are written once into memory that
// all map, every rank is woken and reads them, the last one writes its answer and wakes the caller.
//
// Usage: pipeserve_bench_exchange RANKS INPUT_BYTES OUTPUT_BYTES COUNT. Prints one time in
// microseconds a line.

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <numeric>
#include <vector>

#include "base/doorbell.h"
#include "base/shared_memory.h"

namespace {

using pipeserve::Deadline;
using pipeserve::Doorbell;

constexpr size_t kMaxRanks = 64;

struct Exchange {
  Doorbell posted[kMaxRanks];
  Doorbell answered;
};

// Reads every byte, as a kernel would.
void RunRank(Exchange& exchange, size_t rank, const std::byte* input, size_t input_bytes,
             std::byte* output, size_t output_bytes, bool answers) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (uint32_t seen = 0;; ++seen) {
    if (!exchange.posted[rank].WaitWhile(seen, Deadline::Infinite())) return;
    const auto* words = reinterpret_cast<const uint64_t*>(input);
    const uint64_t sum = std::accumulate(words, words + input_bytes / sizeof(uint64_t), uint64_t{});
    if (!answers) continue;
    std::memset(output, static_cast<int>(sum), output_bytes);
    exchange.answered.Ring();
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 || std::strtoul(argv[1], nullptr, 10) > kMaxRanks) {
    std::cerr << "usage: pipeserve_bench_exchange RANKS INPUT_BYTES OUTPUT_BYTES COUNT\n";
    return 2;
  }
  const size_t ranks = std::strtoul(argv[1], nullptr, 10);
  const size_t input_bytes = std::strtoul(argv[2], nullptr, 10);
  const size_t output_bytes = std::strtoul(argv[3], nullptr, 10);
  const auto memory =
      pipeserve::SharedMemory::Create("bench", sizeof(Exchange) + input_bytes + output_bytes + 64);
  if (!memory.ok()) {
    std::cerr << memory.status() << "\n";
    return 1;
  }
  auto& exchange = *reinterpret_cast<Exchange*>(memory->data());
  std::byte* input = memory->data() + sizeof(Exchange);
  std::byte* output = input + input_bytes;
  std::vector<pid_t> children;
  for (size_t rank = 0; rank < ranks; ++rank) {
    children.push_back(fork());
    if (children.back() != 0) continue;
    RunRank(exchange, rank, input, input_bytes, output, output_bytes, rank + 1 == ranks);
    _exit(0);
  }
  std::vector<std::byte> source(input_bytes, std::byte{1}), answer(output_bytes);
  for (int count = std::atoi(argv[4]); count > 0; --count) {
    const auto start = std::chrono::steady_clock::now();
    const uint32_t seen = exchange.answered.value();
    std::memcpy(input, source.data(), input_bytes);
    for (size_t rank = 0; rank < ranks; ++rank) exchange.posted[rank].RingOne();
    if (!exchange.answered.WaitWhile(seen, Deadline::After(std::chrono::seconds(10)))) return 1;
    std::memcpy(answer.data(), output, output_bytes);
    const auto end = std::chrono::steady_clock::now();
    std::cout << std::chrono::duration<double, std::micro>(end - start).count() << "\n";
  }
  for (const pid_t child : children) kill(child, SIGKILL);
  while (wait(nullptr) > 0) {
  }
  return 0;
}
