// What a graph call costs without Python: a pipeline function in C++ calls one graph over and over.
//
// Usage: pipeserve_bench_calls GRAPH.mindir BATCHES. Prints the microseconds of one call, a line
// for each batch of 100 calls.

#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <span>

#include "pipeserve/client.h"
#include "pipeserve/model.h"
#include "pipeserve/server.h"

namespace {

using pipeserve::Instance;
using pipeserve::Result;
using pipeserve::Tensor;
using Clock = std::chrono::steady_clock;

constexpr int kCallsPerBatch = 100;

// What PipelineServable.run does, by the public API: the argument is copied into an instance, the
// method is found by its name.
pipeserve::Status CallOnce(pipeserve::Server& server, const Tensor& x) {
  const auto results = server.RunMethod("calls", 1, "call", {Instance{x}});
  if (!results.ok()) return results.status();
  return (*results)[0].status();
}

// measure(x) -> float64[batches].
class Measure final : public pipeserve::HostFunction {
 public:
  Measure(pipeserve::Server& server, int batches) : server_(server), batches_(batches) {}
  const std::string& name() const override { return name_; }
  std::vector<Result<Instance>> Call(std::span<const Instance> instances) override {
    std::vector<Result<Instance>> results;
    for (const Instance& instance : instances) results.push_back(Time(instance[0]));
    return results;
  }

 private:
  Result<Instance> Time(const Tensor& x) {
    Tensor times(pipeserve::DataType::kFloat64, {batches_});
    for (double& time : std::span(times.mutable_data_as<double>(), batches_)) {
      const auto start = Clock::now();
      for (int call = 0; call < kCallsPerBatch; ++call) {
        if (pipeserve::Status status = CallOnce(server_, x); !status.ok()) return status;
      }
      time =
          std::chrono::duration<double, std::micro>(Clock::now() - start).count() / kCallsPerBatch;
    }
    return Instance{times};
  }

  pipeserve::Server& server_;
  const int batches_;
  const std::string name_ = "measure";
};

pipeserve::ServableSpec Spec(pipeserve::Server& server, int batches) {
  pipeserve::MethodSpec method;
  method.name = "call";
  method.input_names = {"x"};
  method.output_names = {"y"};
  method.graph = {0, {{pipeserve::Phase::kInput, 0}}, 1};
  method.outputs = {{pipeserve::Phase::kPredict, 0}};
  pipeserve::ServableSpec spec;
  spec.name = "calls";
  spec.methods = {method};
  spec.pipelines = {{"measure", {"x"}, {"times"}, std::make_shared<Measure>(server, batches), {}}};
  spec.with_batch_dim = false;
  return spec;
}

pipeserve::Status Run(const std::string& file, int batches) {
  const auto model = pipeserve::Model::Load(file);
  if (!model.ok()) return model.status();
  const pipeserve::TensorInfo& info = (*model)->inputs()[0];
  Tensor ones(info.dtype, info.shape);
  for (float& one : std::span(ones.mutable_data_as<float>(), info.shape.num_elements())) one = 1;

  const auto server = pipeserve::Server::Create();
  if (!server.ok()) return server.status();
  const pipeserve::Status loaded =
      (*server)->LoadLocal(Spec(**server, batches), {.model_files = {file}});
  if (!loaded.ok()) return loaded;
  const auto address = (*server)->StartGrpc({.address = "127.0.0.1:0"});
  if (!address.ok()) return address.status();
  const auto client = pipeserve::Client::Create(
      {.address = *address, .servable = "calls", .method = "measure", .ssl = {}});
  if (!client.ok()) return client.status();
  const pipeserve::NamedInstance request = {{"x", ones}};
  const auto reply = (*client)->Infer(std::span(&request, 1));
  if (!reply.ok()) return reply.status();
  if (!reply->errors.empty()) return pipeserve::Internal(reply->errors[0].message);
  const Tensor& times = reply->instances[0][0].second;
  for (int i = 0; i < batches; ++i) std::cout << times.data_as<double>()[i] << "\n";
  return pipeserve::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: pipeserve_bench_calls GRAPH.mindir BATCHES\n";
    return 2;
  }
  const pipeserve::Status status = Run(argv[1], std::atoi(argv[2]));
  if (status.ok()) return 0;
  std::cerr << status << "\n";
  return 1;
}
