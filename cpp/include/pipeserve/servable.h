// What a servable offers: methods (recorded data flows) and pipelines (host functions). Pure data.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pipeserve/instance.h"
#include "pipeserve/status.h"

namespace [[gnu::visibility("default")]] pipeserve {

// A function of the host language: a preprocess, a postprocess, a pipeline. Called from many
// threads at once; how it serialises itself (the GIL) is its own affair.
class HostFunction {
 public:
  virtual ~HostFunction() = default;
  virtual const std::string& name() const = 0;
  // Whether Call() takes the HostLock: a thread that holds it keeps it then.
  virtual bool takes_host_lock() const { return false; }

  // One result per instance, in order. A per-instance function is called once for each; a
  // generator function sees all of them. An exception becomes kInternal (or the code it carries)
  // with its text as message, and costs only its own instance.
  virtual std::vector<Result<Instance>> Call(std::span<const Instance> instances) = 0;
};

// A host function of a callable, such as a lambda, that is called once per instance, from many
// threads at once. It may throw: see Call().
std::shared_ptr<HostFunction> MakeHostFunction(
    std::string name, std::function<Result<Instance>(const Instance&)> function);

// A native function by its name in call_preprocess / call_postprocess ("argmax_cpp"): for each
// instance the index of the largest element of its one float16/32/64 input, as an int32 scalar.
// Null when there is none of that name.
std::shared_ptr<HostFunction> FindNativeFunction(const std::string& name);

// Where a value of a method's data flow comes from.
enum class Phase { kInput, kPreprocess, kPredict, kPostprocess };

// "Input", "Preprocess", "Predict", "Postprocess".
const char* PhaseName(Phase phase);

struct DataSource {
  Phase phase = Phase::kInput;
  int index = 0;  // Of the method's inputs, or of that phase's outputs.
  friend bool operator==(const DataSource&, const DataSource&) = default;
};

struct HostStep {
  std::shared_ptr<HostFunction> function = {};
  std::vector<DataSource> inputs = {};
  int output_count = 1;
};

struct GraphStep {
  int subgraph = 0;
  std::vector<DataSource> inputs = {};
  int output_count = 1;
};

// inputs -> [preprocess] -> graph -> [postprocess] -> outputs.
struct MethodSpec {
  std::string name = {};
  std::vector<std::string> input_names = {};
  std::vector<std::string> output_names = {};
  HostStep preprocess = {};  // function is null when there is none.
  GraphStep graph = {};
  HostStep postprocess = {};  // function is null when there is none.
  std::vector<DataSource> outputs = {};
  // Of a request of a client for this method, from its admission; 0: none. No limit of calls by
  // pipelines, for which the deadline of their own request holds.
  std::chrono::nanoseconds timeout{0};
};

// The method that is graph `subgraph` as it is: its inputs and outputs in order, by these names.
MethodSpec GraphMethod(std::string name, int subgraph, std::vector<std::string> input_names,
                       std::vector<std::string> output_names);

// A host function that calls methods as often as it likes.
struct PipelineSpec {
  std::string name = {};
  std::vector<std::string> input_names = {};
  std::vector<std::string> output_names = {};
  std::shared_ptr<HostFunction> function = {};
  std::chrono::nanoseconds timeout{0};  // Of a request, from its admission; 0: none.
  // False: nothing of a request is done a second time; one that loses an agent fails.
  bool replayable = true;
};

struct ServableSpec {
  std::string name = {};
  uint64_t version = 1;
  std::vector<MethodSpec> methods = {};
  std::vector<PipelineSpec> pipelines = {};  // When there is one, clients see only pipelines.
  // Called once with one instance without values, before a client can call the servable; it may
  // call methods. An error refuses the servable. Null: there is none.
  std::shared_ptr<HostFunction> warm_up = {};
  bool with_batch_dim = true;
  std::vector<int> without_batch_dim_inputs = {};  // Indices of graph inputs.
};

}  // namespace pipeserve
