// The limit of the arithmetic: the graphs of one predict (1 + CALLS runs) in this process, without
// a server, a pipeline function or a queue.
//
// Usage: pipeserve_bench_compute FIRST.mindir STEP.mindir CALLS COUNT. Prints one time in
// microseconds a line.

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <span>

#include "pipeserve/model.h"

namespace {

pipeserve::Tensor OnesFor(const pipeserve::Model& model) {
  const pipeserve::TensorInfo& info = model.inputs()[0];
  pipeserve::Tensor tensor(info.dtype, info.shape);
  for (float& value : std::span(tensor.mutable_data_as<float>(), info.shape.num_elements())) {
    value = 1.0f;
  }
  return tensor;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: pipeserve_bench_compute FIRST.mindir STEP.mindir CALLS COUNT\n";
    return 2;
  }
  const auto first = pipeserve::Model::Load(argv[1]), step = pipeserve::Model::Load(argv[2]);
  if (!first.ok() || !step.ok()) {
    std::cerr << first.status() << " " << step.status() << "\n";
    return 1;
  }
  const pipeserve::Tensor input = OnesFor(**first);
  for (int count = std::atoi(argv[4]); count > 0; --count) {
    const auto start = std::chrono::steady_clock::now();
    if (!(*first)->Run(std::span(&input, 1)).ok()) return 1;
    for (int call = std::atoi(argv[3]); call > 0; --call) {
      if (!(*step)->Run(std::span(&input, 1)).ok()) return 1;
    }
    const auto end = std::chrono::steady_clock::now();
    std::cout << std::chrono::duration<double, std::micro>(end - start).count() << "\n";
  }
  return 0;
}
