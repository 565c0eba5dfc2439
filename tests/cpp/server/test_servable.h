// A servable without models or Python, for the tests of the server.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pipeserve/servable.h"
#include "scheduler/fakes.h"
#include "scheduler/servable.h"
#include "server/version_table.h"

namespace pipeserve {

// One graph, float32[2] -> float32[2], that gives what it takes.
class IdentityExecutor : public Executor {
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

// What a pipeline does with one instance.
using Body = std::function<Result<Instance>(const Instance&)>;

inline Result<Instance> Echo(const Instance& instance) { return instance; }

// Pipelines "predict" (x -> y, runs `body`) and "pair" (a, b -> a, b).
inline ServableSpec TestSpec(const std::string& name, uint64_t version, Body body = Echo) {
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
  spec.pipelines.push_back({"predict", {"x"}, {"y"}, PerInstance(std::move(body))});
  spec.pipelines.push_back({"pair", {"a", "b"}, {"a", "b"}, PerInstance(Echo)});
  return spec;
}

// Binds and publishes what has been reserved.
inline void Publish(VersionTable& versions, const std::string& name, uint64_t version,
                    std::shared_ptr<Servable> servable, VersionTable::Probe available = nullptr) {
  versions.Bind(name, version, std::move(servable));
  versions.Publish(name, version, std::move(available));
}

inline std::shared_ptr<Servable> TestServable(const std::string& name, uint64_t version,
                                              Body body = Echo) {
  auto servable = Servable::Create(TestSpec(name, version, std::move(body)),
                                   std::make_shared<IdentityExecutor>());
  EXPECT_EQ(servable.status(), OkStatus());
  return *std::move(servable);
}

}  // namespace pipeserve
