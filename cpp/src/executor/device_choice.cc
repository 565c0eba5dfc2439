#include "executor/device_choice.h"

#include <string>
#include <utility>

#include "base/str_cat.h"
#include "executor/cpu/cpu_executor.h"
#include "pipeserve/log.h"

namespace pipeserve {
namespace {

Result<std::unique_ptr<RankExecutor>> MakeAscend(std::vector<ascend::AscendModel> models,
                                                 const RankExecutorOptions& options) {
  ascend::AscendExecutorOptions ascend = options.ascend;
  ascend.rank_size = options.rank_size;
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<RankExecutor> executor,
                             ascend::AscendExecutor::Create(std::move(models), ascend));
  Log(LogLevel::kInfo, "device", {{"device", "ascend"}});
  return executor;
}

Result<std::unique_ptr<RankExecutor>> MakeCpu(std::vector<ascend::AscendModel> models,
                                              const RankExecutorOptions& options) {
  std::vector<Graph> graphs;
  for (ascend::AscendModel& model : models) {
    if (const auto* const file = std::get_if<std::string>(&model)) {
      return Unimplemented(StrCat("model ", *file, " was compiled for Ascend, the device is cpu"));
    }
    graphs.push_back(std::move(std::get<Graph>(model)));
  }
  CpuExecutorOptions cpu;
  cpu.threads = options.threads;
  cpu.rank_size = options.rank_size;
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<RankExecutor> executor,
                             CpuExecutor::Create(std::move(graphs), cpu));
  return executor;
}

// For a log line: the first library that was tried, without the others.
std::string ShortReason(const Status& status) {
  const std::string& message = status.message();
  const size_t end = message.find("; ");
  if (end == std::string::npos) return message;
  return StrCat(message.substr(0, end), "; pipeserve-ascend-check tells the rest");
}

}  // namespace

Result<DeviceKind> ParseDeviceKind(std::string_view name) {
  if (name == "auto") return DeviceKind::kAuto;
  if (name == "cpu") return DeviceKind::kCpu;
  if (name == "ascend") return DeviceKind::kAscend;
  return InvalidArgument(StrCat("device is ", name, ", it must be auto, cpu or ascend"));
}

Result<std::unique_ptr<RankExecutor>> MakeRankExecutor(std::vector<ascend::AscendModel> models,
                                                       const RankExecutorOptions& options) {
  if (options.kind == DeviceKind::kAscend) return MakeAscend(std::move(models), options);
  if (options.kind == DeviceKind::kCpu) return MakeCpu(std::move(models), options);
  // A copy: graphs share their weights.
  Result<std::unique_ptr<RankExecutor>> executor = MakeAscend(models, options);
  if (executor.ok()) return executor;
  Log(LogLevel::kInfo, "device", {{"device", "cpu"}, {"reason", ShortReason(executor.status())}});
  return MakeCpu(std::move(models), options);
}

}  // namespace pipeserve
