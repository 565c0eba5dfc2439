#include "workers/session_results.h"

#include "workers/remote_resident.h"

namespace pipeserve {

std::vector<Result<Instance>> ToRunResults(const WorkerMessage& reply) {
  std::vector<Result<Instance>> results;
  for (const auto& values : reply.instances) {
    if (!values.ok()) {
      results.emplace_back(values.status());
      continue;
    }
    Instance instance;
    for (const WorkerValue& value : *values) instance.push_back(value.tensor);
    results.emplace_back(std::move(instance));
  }
  return results;
}

std::vector<Result<ResidentTensors>> ToKeptResults(const std::shared_ptr<SessionTalk>& session,
                                                   const WorkerMessage& reply) {
  std::vector<Result<ResidentTensors>> results;
  for (const auto& values : reply.instances) {
    if (!values.ok()) {
      results.emplace_back(values.status());
      continue;
    }
    ResidentTensors residents;
    for (const WorkerValue& value : *values) {
      residents.push_back(std::make_shared<RemoteResident>(session, value));
    }
    results.emplace_back(std::move(residents));
  }
  return results;
}

}  // namespace pipeserve
