#include "scheduler/method_runner.h"

#include <array>
#include <span>
#include <string_view>
#include <utility>

#include "base/str_cat.h"
#include "scheduler/host_call.h"

namespace pipeserve {
namespace {

// One instance on its way through the phases.
struct Flow {
  std::array<Instance, 4> values;  // What each phase has made, indexed by Phase.
  Status status;                   // The first error; later phases leave this instance out.

  Instance& of(Phase phase) { return values[static_cast<size_t>(phase)]; }

  Instance Select(std::span<const DataSource> sources) const {
    Instance selected;
    selected.reserve(sources.size());
    for (const DataSource& source : sources) {
      const Instance& made = values[static_cast<size_t>(source.phase)];
      selected.push_back(made[static_cast<size_t>(source.index)]);
    }
    return selected;
  }
};

// Hands what `sources` name to `step`, for all instances that are still good at once, and keeps
// what it makes as the values of `phase`.
template <typename Step>
void RunPhase(Phase phase, std::span<const DataSource> sources, const Step& step,
              std::vector<Flow>& flows) {
  std::vector<Flow*> good;
  std::vector<Instance> arguments;
  good.reserve(flows.size());
  arguments.reserve(flows.size());
  for (Flow& flow : flows) {
    if (!flow.status.ok()) continue;
    good.push_back(&flow);
    arguments.push_back(flow.Select(sources));
  }
  if (good.empty()) return;
  std::vector<Result<Instance>> results = step(std::move(arguments));
  for (size_t i = 0; i < good.size(); ++i) {
    if (results[i].ok()) {
      good[i]->of(phase) = *std::move(results[i]);
    } else {
      good[i]->status = results[i].status();
    }
  }
}

void RunHostPhase(Phase phase, const HostStep& step, std::string_view failure,
                  const CallContext& context, std::vector<Flow>& flows) {
  if (step.function == nullptr) return;
  const HostLockPause pause(step.function->takes_host_lock() ? nullptr : context.host_lock);
  const auto call = [&](const std::vector<Instance>& arguments) {
    return CallHost(*step.function, arguments, static_cast<size_t>(step.output_count), failure);
  };
  RunPhase(phase, step.inputs, call, flows);
}

}  // namespace

MethodRunner::MethodRunner(const std::string& servable, const MethodSpec& method,
                           const BatchLayout& layout, Executor& executor)
    : title_(StrCat(servable, ".", method.name)),
      method_(method),
      graph_(layout, executor, method.graph.subgraph) {}

std::vector<Result<Instance>> MethodRunner::Run(std::vector<Instance> instances,
                                                const CallContext& context) const {
  std::vector<Flow> flows(instances.size());
  for (size_t i = 0; i < flows.size(); ++i) {
    flows[i].status = CheckInputCount(method_.name, method_.input_names.size(), instances[i]);
    flows[i].of(Phase::kInput) = std::move(instances[i]);
  }
  RunHostPhase(Phase::kPreprocess, method_.preprocess, "Preprocess Failed", context, flows);
  const auto predict = [&](std::vector<Instance> arguments) {
    std::vector<Result<Instance>> results = graph_.Run(std::move(arguments), context);
    for (Result<Instance>& result : results) {
      if (!result.ok()) result = result.status().WithContext(title_);
    }
    return results;
  };
  RunPhase(Phase::kPredict, method_.graph.inputs, predict, flows);
  RunHostPhase(Phase::kPostprocess, method_.postprocess, "Postprocess Failed", context, flows);

  std::vector<Result<Instance>> results;
  results.reserve(flows.size());
  for (const Flow& flow : flows) {
    if (flow.status.ok()) {
      results.emplace_back(flow.Select(method_.outputs));
    } else {
      results.emplace_back(flow.status);
    }
  }
  return results;
}

}  // namespace pipeserve
