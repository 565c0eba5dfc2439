// A worker's side of its connection: runs functions for the front, and has it run methods.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "pipeserve/method_host.h"
#include "pipeserve/servable.h"
#include "pipeserve/status.h"

namespace pipeserve {
class SessionTalk;
}

namespace [[gnu::visibility("default")]] pipeserve {

// In a process of its own: it ends the process when the front is gone and Serve() does not return.
// Methods run in the front, on behalf of the request that the worker works for. Handles and pending
// calls are those of that request. On any thread, but calls of several threads run one after the
// other, and none runs while no function does (kFailedPrecondition). Thread-safe.
class WorkerSession final : public MethodHost {
 public:
  // By the keys that WorkerPool::Function() was given.
  using Functions = std::map<std::string, std::shared_ptr<HostFunction>>;

  // Takes over the socket. Errors: kInvalidArgument (it is none), kResourceExhausted (no thread).
  static Result<std::unique_ptr<WorkerSession>> Create(int socket_fd, Functions functions);
  ~WorkerSession() override;

  // Runs functions on the calling thread until the front is gone, which is success. Errors: the
  // front does not keep to the protocol.
  Status Serve();

  Result<std::vector<Result<Instance>>> RunMethod(const std::string& servable, uint64_t version,
                                                  const std::string& method,
                                                  std::vector<Instance> instances,
                                                  const ResidentTensors& residents,
                                                  HostLock* held) override;
  Result<std::vector<Result<ResidentTensors>>> RunAndKeep(
      const std::string& servable, uint64_t version, const std::string& method,
      std::vector<Instance> instances, const ResidentTensors& residents, HostLock* held) override;
  Result<std::shared_ptr<PendingCall>> SubmitMethod(const std::string& servable, uint64_t version,
                                                    const std::string& method,
                                                    std::vector<Instance> instances,
                                                    ResidentTensors residents) override;
  Result<std::shared_ptr<PendingCall>> SubmitAndKeep(const std::string& servable, uint64_t version,
                                                     const std::string& method,
                                                     std::vector<Instance> instances,
                                                     ResidentTensors residents) override;

 private:
  explicit WorkerSession(std::shared_ptr<SessionTalk> talk);

  const std::shared_ptr<SessionTalk> talk_;  // Shared with handles and pending calls.
};

}  // namespace pipeserve
