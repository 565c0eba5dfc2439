#include "scheduler/pipeline_runner.h"

#include <span>
#include <utility>

#include "base/str_cat.h"
#include "scheduler/call_check.h"
#include "scheduler/host_call.h"

namespace pipeserve {

std::vector<Result<Instance>> PipelineRunner::Run(std::vector<Instance> instances,
                                                  const CallContext& context) const {
  std::vector<Result<Instance>> results;
  results.reserve(instances.size());
  for (const Instance& instance : instances) results.push_back(RunOne(instance, context));
  return results;
}

Result<Instance> PipelineRunner::RunOne(const Instance& instance,
                                        const CallContext& context) const {
  PIPESERVE_RETURN_IF_ERROR(
      CheckInputCount(pipeline_.name, pipeline_.input_names.size(), instance));
  PIPESERVE_RETURN_IF_ERROR(CheckWanted(context, "pipeline ", pipeline_.name, " was called"));
  return std::move(CallHost(*pipeline_.function, std::span(&instance, 1),
                            pipeline_.output_names.size(), "Pipeline Failed")[0]);
}

}  // namespace pipeserve
