// A servable without models or Python, for the tests of the server.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "pipeserve/servable.h"
#include "scheduler/servable.h"

namespace pipeserve {

// One graph, float32[2] -> float32[2], that gives what it takes.
class IdentityExecutor final : public Executor {
 public:
  int graph_count() const override { return 1; }
  const GraphSignature& signature(GraphId) const override { return signature_; }
  Status Run(GraphId, std::span<const Tensor> inputs, const CallContext&,
             std::vector<Tensor>* outputs) override {
    outputs->assign(inputs.begin(), inputs.end());
    return OkStatus();
  }

 private:
  const GraphSignature signature_{{{"x", DataType::kFloat32, Shape{2}}},
                                  {{"y", DataType::kFloat32, Shape{2}}}};
};

class TestFunction final : public HostFunction {
 public:
  using Body = std::function<Result<Instance>(const Instance&)>;
  explicit TestFunction(Body body) : body_(std::move(body)) {}
  const std::string& name() const override { return name_; }
  std::vector<Result<Instance>> Call(std::span<const Instance> instances) override {
    std::vector<Result<Instance>> results;
    for (const Instance& instance : instances) results.push_back(body_(instance));
    return results;
  }

 private:
  const std::string name_ = "test";
  const Body body_;
};

inline Result<Instance> Echo(const Instance& instance) { return instance; }

// Pipelines "predict" (x -> y, runs `body`) and "pair" (a, b -> a, b).
inline ServableSpec TestSpec(const std::string& name, uint64_t version,
                             TestFunction::Body body = Echo) {
  ServableSpec spec;
  spec.name = name;
  spec.version = version;
  spec.with_batch_dim = false;
  MethodSpec method;
  method.name = "identity";
  method.input_names = {"x"};
  method.output_names = {"y"};
  method.graph.inputs = {{Phase::kInput, 0}};
  method.outputs = {{Phase::kPredict, 0}};
  spec.methods.push_back(method);
  spec.pipelines.push_back(
      {"predict", {"x"}, {"y"}, std::make_shared<TestFunction>(std::move(body))});
  spec.pipelines.push_back({"pair", {"a", "b"}, {"a", "b"}, std::make_shared<TestFunction>(Echo)});
  return spec;
}

inline std::shared_ptr<Servable> TestServable(const std::string& name, uint64_t version,
                                              TestFunction::Body body = Echo) {
  auto servable = Servable::Create(TestSpec(name, version, std::move(body)),
                                   std::make_shared<IdentityExecutor>());
  EXPECT_EQ(servable.status(), OkStatus());
  return *std::move(servable);
}

// A door that threads wait at until it is opened.
class Gate {
 public:
  ~Gate() { Open(); }
  void Open() {
    MutexLock lock(mutex_);
    open_ = true;
    changed_.NotifyAll();
  }
  // Waits until it is open.
  void Pass() {
    MutexLock lock(mutex_);
    ++arrived_;
    changed_.NotifyAll();
    while (!open_) changed_.Wait(mutex_);
  }
  // False when not so many have come within some seconds.
  bool WaitForArrivals(int count) {
    const Deadline deadline = Deadline::After(std::chrono::seconds(10));
    MutexLock lock(mutex_);
    while (arrived_ < count) {
      if (!changed_.WaitUntil(mutex_, deadline)) return arrived_ >= count;
    }
    return true;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int arrived_ GUARDED_BY(mutex_) = 0;
  bool open_ GUARDED_BY(mutex_) = false;
};

}  // namespace pipeserve
