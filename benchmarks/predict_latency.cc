// Times predict through the native client: one connection, one request at a time.
//
// Usage: pipeserve_bench_predict ADDRESS COUNT. Sends x and y, float32[128,96] of ones, to
// matmul.predict and prints one latency in microseconds a line. Fails when a reply is an error.

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <span>

#include "pipeserve/client.h"

namespace {

pipeserve::Tensor Ones() {
  pipeserve::Tensor tensor(pipeserve::DataType::kFloat32, {128, 96});
  for (float& value : std::span(tensor.mutable_data_as<float>(), 128 * 96)) value = 1.0f;
  return tensor;
}

int Run(const std::string& address, int count) {
  auto client = pipeserve::Client::Create(
      {.address = address, .servable = "matmul", .method = "predict", .ssl = {}});
  if (!client.ok()) {
    std::cerr << client.status() << "\n";
    return 1;
  }
  const pipeserve::NamedInstance instance = {{"x", Ones()}, {"y", Ones()}};
  for (int i = 0; i < count; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto reply = (*client)->Infer(std::span(&instance, 1));
    const auto end = std::chrono::steady_clock::now();
    if (!reply.ok() || !reply->errors.empty()) {
      std::cerr << (reply.ok() ? reply->errors[0].message : reply.status().ToString()) << "\n";
      return 1;
    }
    std::cout << std::chrono::duration<double, std::micro>(end - start).count() << "\n";
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: pipeserve_bench_predict ADDRESS COUNT\n";
    return 2;
  }
  return Run(argv[1], std::atoi(argv[2]));
}
