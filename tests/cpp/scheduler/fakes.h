// An executor and host functions whose behaviour a test decides.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "executor/executor.h"
#include "pipeserve/servable.h"
#include "scheduler/servable.h"
#include "support/gate.h"

namespace pipeserve {

using Results = std::vector<Result<Instance>>;

// The answers of one request; counts how often it was answered.
struct Answer {
  Gate answered;
  std::atomic<int> count{0};
  Results results;

  Servable::Done Done() {
    answered.Open();
    return [this](Results given) {
      results = std::move(given);
      ++count;
      answered.Pass();
    };
  }
  bool Wait() { return answered.WaitForArrivals(1); }
};

// Of a request whose deadline has passed.
inline Deadline Past() { return Deadline(TimePoint(Duration(1))); }
inline CallContext Late() { return {Past(), 0}; }

// A clock that stands still, at the time of the machine: a deadline that it makes has not passed by
// the machine's clock either.
class StoppedClock : public FakeClock {
 public:
  StoppedClock() { Advance(Clock::System().Now() - Now()); }
};

// Every graph gives its first input negated, in the shape of its first output.
class FakeExecutor : public Executor {
 public:
  explicit FakeExecutor(std::vector<GraphSignature> graphs) : graphs_(std::move(graphs)) {}

  // Runs first; its error is returned.
  std::function<Status(std::span<const Tensor>, const CallContext&)> before;
  std::function<void(std::vector<Tensor>&)> after;  // May replace the outputs.
  bool runs_alone = false;

  int graph_count() const override { return static_cast<int>(graphs_.size()); }
  const GraphSignature& signature(GraphId graph) const override {
    return graphs_[static_cast<size_t>(graph)];
  }
  bool RunsAlone(GraphId /*graph*/) const override { return runs_alone; }
  Status Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs) override {
    ++calls;
    if (before) PIPESERVE_RETURN_IF_ERROR(before(inputs, context));
    Tensor output(DataType::kFloat32, signature(graph).outputs[0].shape);
    const size_t count = output.byte_size() / sizeof(float);
    for (size_t i = 0; i < count; ++i) {
      output.mutable_data_as<float>()[i] = -inputs[0].data_as<float>()[i];
    }
    outputs->assign(1, output);
    if (after) after(*outputs);
    return OkStatus();
  }

  std::atomic<int> calls{0};

 private:
  const std::vector<GraphSignature> graphs_;
};

// Writes down whether it is held.
class FakeHostLock final : public HostLock {
 public:
  void Release() override {
    EXPECT_TRUE(held);
    held = false;
    ++releases;
  }
  void Acquire() override {
    EXPECT_FALSE(held);
    held = true;
  }

  bool held = true;
  int releases = 0;
};

class FakeFunction : public HostFunction {
 public:
  using Body = std::function<Results(std::span<const Instance>)>;
  explicit FakeFunction(Body body) : body_(std::move(body)) {}
  const std::string& name() const override { return name_; }
  Results Call(std::span<const Instance> instances) override { return body_(instances); }

 private:
  const std::string name_ = "fake";
  const Body body_;
};

// One value in, one out: `one` is called for each instance.
inline std::shared_ptr<HostFunction> PerInstance(
    std::function<Result<Instance>(const Instance&)> one) {
  return std::make_shared<FakeFunction>([one](std::span<const Instance> instances) {
    Results results;
    for (const Instance& instance : instances) results.push_back(one(instance));
    return results;
  });
}

inline Instance One(float value) { return {Tensor::Of<float>({1}, {value})}; }
inline float ValueOf(const Instance& instance) { return *instance[0].data_as<float>(); }

// Graph 0 is float32[batch,1] -> float32[batch,1].
inline std::shared_ptr<FakeExecutor> NegatingExecutor(int64_t batch = 1) {
  const TensorInfo info{"x", DataType::kFloat32, {batch, 1}};
  return std::make_shared<FakeExecutor>(std::vector<GraphSignature>{{{info}, {info}}});
}

// Method "neg": x -> graph 0 -> y.
inline ServableSpec NegSpec() {
  MethodSpec method;
  method.name = "neg";
  method.input_names = {"x"};
  method.output_names = {"y"};
  method.graph = {0, {{Phase::kInput, 0}}, 1};
  method.outputs = {{Phase::kPredict, 0}};
  ServableSpec spec;
  spec.name = "fake";
  spec.methods = {method};
  return spec;
}

}  // namespace pipeserve
