// From a client's request to its reply: finds the servable and the method, checks the inputs,
// submits, merges the per-instance results. Shared by every door (gRPC and REST).
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pipeserve/instance.h"
#include "scheduler/admission.h"
#include "scheduler/servable.h"
#include "server/version_table.h"

namespace pipeserve {

// A request as a door has read it. Instances are named; order within one is free, and of a name
// that comes twice the last counts.
struct ClientRequest {
  std::string servable;
  std::string method;
  uint64_t version = 0;  // 0: the newest, or the one that was switched to.
  std::vector<NamedInstance> instances = {};
  Deadline deadline = {};  // That of the client.
  // Raised when the client has left. Null: it stays.
  std::shared_ptr<CancelToken> cancel = nullptr;
};

// Either `error` (for the whole request) or one result per instance, outputs in declared order.
struct ClientReply {
  Status error;
  std::vector<std::string> output_names;
  std::vector<Result<Instance>> instances;
  // When a request that was refused with kResourceExhausted may come again; 0 for all others.
  std::chrono::seconds retry_after{0};
};

struct DispatcherOptions {
  AdmissionLimits limits;
  Duration max_request_time = Duration::zero();  // From admission to the answer; 0: no maximum.
};

// Thread-safe.
class Dispatcher {
 public:
  using Done = std::function<void(ClientReply)>;

  explicit Dispatcher(const DispatcherOptions& options);

  void set_max_enqueued_requests(size_t limit);

  // What requests may ask for.
  VersionTable& versions() { return versions_; }

  // Whether every servable can be called at this moment; see VersionTable.
  bool AllAvailable() const;

  // Where a tensor of a request for that servable is read best; see Servable::MakeRoom().
  Buffer MakeRoom(const std::string& name, uint64_t version, size_t bytes) const;

  // From now on every request is answered with kUnavailable.
  void Close();
  // After Close(): waits until all requests are answered. Those that are not at `deadline` are
  // given up, which answers them with kUnavailable.
  void Drain(Deadline deadline);
  // The same for the requests of one version that has been retired.
  void Drain(const std::string& name, uint64_t version, Deadline deadline);

  const Admission& admission() const { return admission_; }

  // `done` runs once, on any thread. All instances that fail alike are one error of the request.
  // The earliest of the client's deadline, the callable's timeout and the server's maximum counts.
  void Dispatch(ClientRequest request, Done done);

  // What a caller of this process asks of a callable; the inputs are in declared order.
  // Runs it on the calling thread under the limits of Dispatch(), but without its queue.
  Result<Instance> Run(const ClientRequest& request, Instance inputs);

 private:
  // A request that can be submitted.
  struct Ready {
    std::shared_ptr<Servable> servable;
    std::vector<Instance> inputs;
    std::vector<std::string> output_names;
  };

  // Errors: kNotFound, kUnavailable, both "servable is not available".
  Result<std::shared_ptr<Servable>> FindAvailable(const ClientRequest& request) const;
  // Errors: those of FindAvailable(), kNotFound (the method).
  Result<const Servable::Signature*> FindCallable(const ClientRequest& request,
                                                  const Servable& servable) const;
  // Errors: those of the two above, kInvalidArgument (the inputs).
  Result<Ready> Prepare(const ClientRequest& request) const;
  RequestInfo MakeInfo(const ClientRequest& request, Admission::Ticket ticket);

  const DispatcherOptions options_;
  Admission admission_;
  VersionTable versions_;
  std::atomic<bool> closed_{false};
  std::atomic<uint64_t> last_request_id_{0};
};

}  // namespace pipeserve
