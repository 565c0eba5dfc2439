// On which device the graphs of a rank run.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "executor/ascend/ascend_executor.h"
#include "executor/rank_executor.h"

namespace pipeserve {

enum class DeviceKind {
  kAuto,  // Ascend where its runtime and a device are found, else the CPU; the log says which.
  kCpu,
  kAscend,  // Or an error.
};

// "auto", "cpu" or "ascend". Errors: kInvalidArgument.
Result<DeviceKind> ParseDeviceKind(std::string_view name);

struct RankExecutorOptions {
  DeviceKind kind = DeviceKind::kAuto;
  int threads = 1;  // Of one graph call on the CPU.
  ascend::AscendExecutorOptions ascend;
  int rank_size = 1;
};

// Errors: those of CpuExecutor::Create() or AscendExecutor::Create(); kUnimplemented (a model that
// was compiled for Ascend, on the CPU).
Result<std::unique_ptr<RankExecutor>> MakeRankExecutor(std::vector<ascend::AscendModel> models,
                                                       const RankExecutorOptions& options);

}  // namespace pipeserve
