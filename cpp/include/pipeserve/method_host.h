// What runs methods for a pipeline function.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pipeserve/host_lock.h"
#include "pipeserve/instance.h"
#include "pipeserve/pending_call.h"
#include "pipeserve/resident_tensor.h"
#include "pipeserve/status.h"

namespace [[gnu::visibility("default")]] pipeserve {

// The server or, in a worker process, the connection to it. The functions are explained at Server.
// Thread-safe.
class MethodHost {
 public:
  virtual ~MethodHost() = default;

  virtual Result<std::vector<Result<Instance>>> RunMethod(
      const std::string& servable, uint64_t version, const std::string& method,
      std::vector<Instance> instances, const ResidentTensors& residents, HostLock* held) = 0;
  virtual Result<std::vector<Result<ResidentTensors>>> RunAndKeep(
      const std::string& servable, uint64_t version, const std::string& method,
      std::vector<Instance> instances, const ResidentTensors& residents, HostLock* held) = 0;
  virtual Result<std::shared_ptr<PendingCall>> SubmitMethod(const std::string& servable,
                                                            uint64_t version,
                                                            const std::string& method,
                                                            std::vector<Instance> instances,
                                                            ResidentTensors residents) = 0;
  virtual Result<std::shared_ptr<PendingCall>> SubmitAndKeep(const std::string& servable,
                                                             uint64_t version,
                                                             const std::string& method,
                                                             std::vector<Instance> instances,
                                                             ResidentTensors residents) = 0;
};

}  // namespace pipeserve
