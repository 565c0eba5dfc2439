// Load that does not wait for the server: requests of matmul.predict at a fixed rate, whatever
// comes back.
//
// Usage: pipeserve_bench_offer ADDRESS ROWS RATE SECONDS CONNECTIONS. Sends x and y,
// float32[ROWS,96] of ones, RATE times a second in all. Prints the seconds from the first request
// to the last answer, and then a line for each request: "done" or "refused", and its latency in
// microseconds. Fails when a reply is any other error.

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "pipeserve/client.h"

namespace {

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;
using Reply = pipeserve::Result<pipeserve::InferReply>;

pipeserve::Tensor Ones(int64_t rows) {
  pipeserve::Tensor tensor(pipeserve::DataType::kFloat32, {rows, 96});
  for (float& value : std::span(tensor.mutable_data_as<float>(), rows * 96)) value = 1.0f;
  return tensor;
}

// What became of the requests. Thread-safe.
class Outcomes {
 public:
  void Add(const Reply& reply, double microseconds) {
    const std::string error = !reply.ok()             ? reply.status().ToString()
                              : reply->errors.empty() ? std::string()
                                                      : reply->errors[0].message;
    const bool refused = error.find("Serving Error: enqueued") != std::string::npos;
    const std::lock_guard lock(mutex_);
    (refused ? refused_ : done_).push_back(microseconds);
    if (!error.empty() && !refused) failure_ = error;
  }

  // Once no request is on its way.
  int Print(double seconds) const {
    std::cout << seconds << "\n";
    for (const double latency : done_) std::cout << "done " << latency << "\n";
    for (const double latency : refused_) std::cout << "refused " << latency << "\n";
    if (!failure_.empty()) std::cerr << failure_ << "\n";
    return failure_.empty() ? 0 : 1;
  }

 private:
  std::mutex mutex_;
  std::vector<double> done_, refused_;
  std::string failure_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: pipeserve_bench_offer ADDRESS ROWS RATE SECONDS CONNECTIONS\n";
    return 2;
  }
  const int64_t rows = std::atoll(argv[2]);
  const std::chrono::nanoseconds interval(static_cast<int64_t>(1e9 / std::atof(argv[3])));
  const auto count = static_cast<int64_t>(std::atof(argv[3]) * std::atof(argv[4]));
  Outcomes outcomes;
  std::vector<std::unique_ptr<pipeserve::Client>> clients;
  for (int i = std::atoi(argv[5]); i > 0; --i) {
    auto client = pipeserve::Client::Create(
        {.address = argv[1], .servable = "matmul", .method = "predict", .ssl = {}});
    if (!client.ok()) {
      std::cerr << client.status() << "\n";
      return 1;
    }
    clients.push_back(*std::move(client));
  }
  const pipeserve::NamedInstance instance = {{"x", Ones(rows)}, {"y", Ones(rows)}};
  const auto start = Clock::now();
  for (int64_t i = 0; i < count; ++i) {
    std::this_thread::sleep_until(start + i * interval);
    const auto sent = Clock::now();
    clients[static_cast<size_t>(i) % clients.size()]->InferAsync(
        std::span(&instance, 1), [&outcomes, sent](const Reply& reply) {
          outcomes.Add(reply, Microseconds(Clock::now() - sent).count());
        });
  }
  clients.clear();  // Waits for the answers.
  return outcomes.Print(std::chrono::duration<double>(Clock::now() - start).count());
}
