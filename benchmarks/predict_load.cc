// Load on matmul.predict through the native client: CLIENTS connections, each with one request at a
// time.
//
// Usage: pipeserve_bench_predict ADDRESS ROWS COUNT CLIENTS. Sends x and y, float32[ROWS,96] of
// ones, COUNT times in all, and prints the seconds that took and then one latency in microseconds a
// line. Fails when a reply is an error.

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <span>
#include <thread>
#include <vector>

#include "pipeserve/client.h"

namespace {

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

pipeserve::Tensor Ones(int64_t rows) {
  pipeserve::Tensor tensor(pipeserve::DataType::kFloat32, {rows, 96});
  for (float& value : std::span(tensor.mutable_data_as<float>(), rows * 96)) value = 1.0f;
  return tensor;
}

struct Load {
  std::string address;
  int64_t rows = 0;
  std::atomic<int> left;
  std::atomic<bool> failed = false;

  void Fail(const std::string& message) {
    failed = true;
    left = 0;
    std::cerr << message + "\n";
  }

  // Takes requests until none is left.
  std::vector<double> Run() {
    std::vector<double> latencies;
    auto client = pipeserve::Client::Create(
        {.address = address, .servable = "matmul", .method = "predict", .ssl = {}});
    if (!client.ok()) return Fail(client.status().ToString()), latencies;
    const pipeserve::NamedInstance instance = {{"x", Ones(rows)}, {"y", Ones(rows)}};
    while (left-- > 0) {
      const auto start = Clock::now();
      const auto reply = (*client)->Infer(std::span(&instance, 1));
      latencies.push_back(Microseconds(Clock::now() - start).count());
      if (!reply.ok()) Fail(reply.status().ToString());
      if (reply.ok() && !reply->errors.empty()) Fail(reply->errors[0].message);
    }
    return latencies;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: pipeserve_bench_predict ADDRESS ROWS COUNT CLIENTS\n";
    return 2;
  }
  Load load{.address = argv[1], .rows = std::atoll(argv[2]), .left = std::atoi(argv[3])};
  std::vector<std::vector<double>> latencies(std::atoi(argv[4]));
  const auto start = Clock::now();
  {
    std::vector<std::jthread> clients;
    for (auto& mine : latencies) clients.emplace_back([&] { mine = load.Run(); });
  }
  std::cout << std::chrono::duration<double>(Clock::now() - start).count() << "\n";
  for (const auto& mine : latencies) {
    for (const double latency : mine) std::cout << latency << "\n";
  }
  return load.failed ? 1 : 0;
}
