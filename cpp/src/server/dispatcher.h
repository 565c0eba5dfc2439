// From a client's request to its reply: finds the servable and the method, checks the inputs,
// submits, merges the per-instance results. Shared by every door (gRPC and REST).
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "pipeserve/client.h"
#include "scheduler/servable.h"

namespace pipeserve {

// A request as a door has read it. Instances are named; order within one is free.
struct ClientRequest {
  std::string servable;
  std::string method;
  uint64_t version = 0;  // 0 is the newest that runs.
  std::vector<NamedInstance> instances;
  CallContext context;
};

// Either `error` (for the whole request) or one result per instance, outputs in declared order.
struct ClientReply {
  Status error;
  std::vector<std::string> output_names;
  std::vector<Result<Instance>> instances;
};

// Thread-safe.
class Dispatcher {
 public:
  using Done = std::function<void(ClientReply)>;

  explicit Dispatcher(size_t max_enqueued_requests);

  void set_max_enqueued_requests(size_t limit);

  // Errors: kAlreadyExists.
  Status Add(std::shared_ptr<Servable> servable);
  void Remove(const std::string& name, uint64_t version);
  std::shared_ptr<Servable> Find(const std::string& name, uint64_t version) const;

  // `done` runs once, on any thread. All instances that fail alike are one error of the request.
  void Dispatch(ClientRequest request, Done done);

 private:
  mutable Mutex mutex_;
  std::map<std::string, std::map<uint64_t, std::shared_ptr<Servable>>> servables_
      GUARDED_BY(mutex_);
  std::atomic<size_t> max_enqueued_requests_;
  std::atomic<size_t> enqueued_requests_{0};
};

}  // namespace pipeserve
