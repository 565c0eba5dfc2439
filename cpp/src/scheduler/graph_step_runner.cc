#include "scheduler/graph_step_runner.h"

#include <algorithm>
#include <utility>

#include "base/str_cat.h"
#include "scheduler/call_check.h"

namespace pipeserve {

GraphStepRunner::GraphStepRunner(const BatchLayout& layout, Executor& executor, GraphId graph,
                                 const Clock& clock)
    : layout_(layout),
      executor_(executor),
      graph_(graph),
      signature_(executor.signature(graph)),
      runs_alone_(executor.RunsAlone(graph)),
      clock_(clock) {}

std::vector<Result<Instance>> GraphStepRunner::Run(std::vector<Instance> instances,
                                                   const CallContext& context) const {
  if (context.host_lock == nullptr) return RunAll(std::move(instances), context);
  const size_t count = instances.size();
  if (!runs_alone_ || count == 0) {
    const HostLockPause pause(context.host_lock);
    return RunAll(std::move(instances), context);
  }
  const HostLockPause pause(pace_.IsBrief(count) ? nullptr : context.host_lock);
  const TimePoint start = clock_.Now();
  std::vector<Result<Instance>> results = RunAll(std::move(instances), context);
  pace_.Add(clock_.Now() - start, count);
  return results;
}

std::vector<Result<Instance>> GraphStepRunner::RunAll(std::vector<Instance> instances,
                                                      const CallContext& context) const {
  std::vector<Result<Instance>> results(instances.size(), Instance{});
  std::vector<Instance> fitting;
  std::vector<size_t> places;  // Of the fitting instances among all.
  fitting.reserve(instances.size());
  places.reserve(instances.size());
  for (size_t i = 0; i < instances.size(); ++i) {
    Status status = layout_.CheckInputs(signature_, instances[i]);
    if (!status.ok()) {
      results[i] = std::move(status);
      continue;
    }
    fitting.push_back(std::move(instances[i]));
    places.push_back(i);
  }
  for (size_t first = 0; first < fitting.size();) {
    const auto rest = std::span<const Instance>(fitting).subspan(first);
    const size_t count = CallSize(rest);
    Result<std::vector<Instance>> outputs = Call(rest.first(count), context);
    for (size_t i = 0; i < count; ++i) {
      Result<Instance>& result = results[places[first + i]];
      if (outputs.ok()) {
        result = std::move((*outputs)[i]);
      } else {
        result = outputs.status();
      }
    }
    first += count;
  }
  return results;
}

size_t GraphStepRunner::CallSize(std::span<const Instance> instances) const {
  const size_t most = std::min(instances.size(), static_cast<size_t>(layout_.batch_size()));
  size_t count = 1;
  while (count < most && layout_.CanShareCall(instances[0], instances[count])) ++count;
  return count;
}

Result<std::vector<Instance>> GraphStepRunner::Call(std::span<const Instance> instances,
                                                    const CallContext& context) const {
  PIPESERVE_RETURN_IF_ERROR(CheckWanted(context, "a call of graph ", graph_));
  const std::vector<Tensor> inputs = layout_.Gather(signature_, instances);
  std::vector<Tensor> outputs;
  PIPESERVE_RETURN_IF_ERROR(executor_.Run(graph_, inputs, context, &outputs));
  if (outputs.size() != signature_.outputs.size()) {
    return Internal(StrCat("graph ", graph_, " gave ", outputs.size(), " outputs, ",
                           signature_.outputs.size(), " are defined in model"));
  }
  Result<std::vector<Instance>> results = layout_.Scatter(outputs, instances.size());
  if (!results.ok()) return results.status().WithContext(StrCat("graph ", graph_));
  return results;
}

}  // namespace pipeserve
