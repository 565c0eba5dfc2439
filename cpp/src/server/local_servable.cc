#include "server/local_servable.h"

#include <utility>
#include <vector>

#include "base/available_cores.h"
#include "base/str_cat.h"
#include "executor/cpu/cpu_executor.h"
#include "graph/model_file.h"

namespace pipeserve {
namespace {

Result<ReadOptions> MakeReadOptions(const LocalServableOptions& options) {
  ReadOptions read;
  if (!options.decryption.has_value()) return read;
  Decryption decryption{.key = options.decryption->key};
  if (options.decryption->mode == "AES-CBC") {
    decryption.mode = DecryptMode::kAesCbc;
  } else if (options.decryption->mode != "AES-GCM") {
    return InvalidArgument(
        StrCat("decryption mode is ", options.decryption->mode, ", it must be AES-GCM or AES-CBC"));
  }
  read.decryption = std::move(decryption);
  return read;
}

}  // namespace

Result<std::shared_ptr<Servable>> MakeLocalServable(const ServableSpec& spec,
                                                    const LocalServableOptions& options,
                                                    const SchedulerOptions& scheduler) {
  PIPESERVE_ASSIGN_OR_RETURN(const ReadOptions read, MakeReadOptions(options));
  std::vector<Graph> graphs;
  for (const std::string& file : options.model_files) {
    PIPESERVE_ASSIGN_OR_RETURN(Graph graph, ReadMindir(file, read));
    graphs.push_back(std::move(graph));
  }
  CpuExecutorOptions cpu;
  cpu.threads = options.threads.value_or(AvailableCores());
  PIPESERVE_ASSIGN_OR_RETURN(std::shared_ptr<Executor> executor,
                             CpuExecutor::Create(std::move(graphs), cpu));
  PIPESERVE_ASSIGN_OR_RETURN(std::shared_ptr<Servable> servable,
                             Servable::Create(spec, std::move(executor), scheduler));
  return servable;
}

}  // namespace pipeserve
