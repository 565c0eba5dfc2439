// A host function whose code is in the workers.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pipeserve/worker_pool.h"

namespace pipeserve {

class WorkerFunction final : public HostFunction {
 public:
  WorkerFunction(std::shared_ptr<WorkerRoster> pool, std::string key, std::string name)
      : pool_(std::move(pool)), key_(std::move(key)), name_(std::move(name)) {}

  const std::string& name() const override { return name_; }
  std::vector<Result<Instance>> Call(std::span<const Instance> instances) override;

 private:
  std::vector<Result<Instance>> CallAnyWorker(std::span<const Instance> instances);

  const std::shared_ptr<WorkerRoster> pool_;
  const std::string key_;
  const std::string name_;
};

}  // namespace pipeserve
