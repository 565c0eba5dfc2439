// The server: loads servables, opens the gRPC and REST doors, answers requests.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeserve/agent.h"
#include "pipeserve/host_lock.h"
#include "pipeserve/method_host.h"
#include "pipeserve/pending_call.h"
#include "pipeserve/resident_tensor.h"
#include "pipeserve/servable.h"
#include "pipeserve/server_state.h"
#include "pipeserve/ssl_options.h"
#include "pipeserve/status.h"

namespace [[gnu::visibility("default")]] pipeserve {

struct ListenOptions {
  std::string address = {};  // "ip:port"; for gRPC also "unix:<path>". Port 0 picks a free one.
  size_t max_message_bytes = size_t{100} << 20;
  std::optional<SslOptions> ssl = {};
  int max_connections = 1000;      // At once; one more is closed as it comes.
  bool http_status_codes = false;  // REST only: real status codes instead of 200 always.
};

struct DecryptionOptions {
  std::string key = {};          // 16, 24 or 32 raw bytes.
  std::string mode = "AES-GCM";  // Or "AES-CBC".
};

// A servable whose graphs run in this process, on the CPU. On an Ascend device they run in a
// pipeserve-agent, which is a distributed servable of one rank.
struct LocalServableOptions {
  std::vector<std::string> model_files = {};  // Paths; the index is the subgraph number.
  std::optional<DecryptionOptions> decryption = {};
  std::optional<int> threads = {};  // Of one graph call; without, the cores this process may use.
  int max_inflight = 0;             // Requests that run at once; 0: as many as ServerOptions says.
  // Requests that name no version do not come to this one before Switch().
  bool on_request_only = false;
  // Run every graph once on zeros before clients can call the servable.
  bool warm_up = true;
};

// A servable whose graphs run in agents, one per rank.
struct DistributedServableOptions {
  int rank_size = 1;
  int stage_size = 1;
  std::string rank_table_file = {};  // Empty: one rank, on this host.
  std::string address = {};          // Where agents register: "ip:port"; port 0 picks a free one.
  // Without one of the two whoever reaches the address can register.
  std::optional<SslOptions> agents_ssl = {};
  std::string agent_token = {};  // Agents and launchers have to show it; empty: none is asked for.
  std::chrono::milliseconds call_timeout{10'000};  // For one graph call on all ranks.
  // An agent that gives no sign of life for `dead_after`, and is asked for one every `heartbeat`,
  // is lost; so is one whose connection breaks.
  std::chrono::milliseconds heartbeat{1'000};
  std::chrono::milliseconds dead_after{3'000};
  // Calls that lose an agent are made again once all are back, if that is within this time and the
  // request's; 0: they fail at once.
  std::chrono::milliseconds failover_timeout{30'000};
  // When set, the first loss of an agent ends the servable: all agents are told to exit, requests
  // are refused, and this is called once, on a thread of the server, which it must not stop there.
  std::function<void()> on_agent_lost = {};
  LaneKind lane = LaneKind::kAuto;
  // A graph call is done when the last rank, which gives the outputs, has answered; with
  // wait_for_all, when every rank has. The others lag behind by at most eight calls.
  bool wait_for_all = false;
  int max_inflight = 0;          // Requests that run at once; 0: as many as ServerOptions says.
  bool on_request_only = false;  // See LocalServableOptions.
  bool warm_up = true;
};

struct ServerOptions {
  int max_inflight = 4;                   // Requests of one servable that run at once.
  size_t max_enqueued_requests = 10'000;  // Client requests in the server; one more is refused.
  // Bytes of their input tensors, also while they run; a request beyond it is refused.
  size_t max_enqueued_bytes = size_t{1} << 30;
  // From the admission of a request to its answer, whatever the client and the method allow; up to
  // a year. 0: no maximum.
  std::chrono::milliseconds max_request_time{0};
};

struct InferOptions {
  uint64_t version = 0;                 // 0: the newest, or the one that was switched to.
  std::chrono::nanoseconds timeout{0};  // From now to the answer; 0: none.
};

// Thread-safe. One object may serve several servables and versions; order of loading and
// listening is free. Destruction is Stop().
//
// A version is replaced without a failed request like this: load the new one with
// `on_request_only`, which runs its warm-up while the old one serves; Switch() to it, which is
// atomic: a request belongs to one version, with its functions and its graphs on all ranks, from
// beginning to end; Unload() the old one, which waits for the requests that it has.
class Server final : public MethodHost {
 public:
  // Errors: kInvalidArgument (an option out of range).
  static Result<std::unique_ptr<Server>> Create(const ServerOptions& options = {});
  ~Server() override;

  void set_max_enqueued_requests(size_t limit);

  // Reads the models, checks the methods against them, warms up and makes the servable available.
  // Errors: those of model files and of the warm-up function; kInvalidArgument (methods that do not
  // fit the graphs), kAlreadyExists (that name and version is being served).
  Status LoadLocal(const ServableSpec& spec, const LocalServableOptions& options);

  // Reads the rank table and opens the agents' door. The servable becomes available when all
  // ranks have registered and agree; WaitReady() tells. Returns the address with the bound port.
  Result<std::string> StartDistributed(const ServableSpec& spec,
                                       const DistributedServableOptions& options);

  // Waits up to `timeout` for a distributed servable. Errors: kDeadlineExceeded (not yet; the
  // message counts the agents), kFailedPrecondition (the agents disagree, or failed to start),
  // kCancelled (stopped), kNotFound.
  Status WaitReady(const std::string& name, uint64_t version, std::chrono::milliseconds timeout);

  // Requests that name no version come to this one, all at once: those that are in the server stay
  // where they are. Errors: kNotFound, kUnavailable (it cannot be called at this moment).
  Status Switch(const std::string& name, uint64_t version);

  // No further request comes to that version; those that it has are finished, at most for
  // `drain_timeout`, then given up with kUnavailable. Its agents are told to exit. Errors:
  // kNotFound; kFailedPrecondition (requests without a version come to it although there are
  // others, or it is being unloaded already). One that is still being loaded is given up: its
  // loading fails soon, with kCancelled.
  Status Unload(const std::string& name, uint64_t version, std::chrono::milliseconds drain_timeout);

  ServerState state() const;

  // Open a door; the address with the bound port. Errors: kInvalidArgument (address, files),
  // kAlreadyExists (already open), kUnavailable (the port cannot be bound).
  Result<std::string> StartGrpc(const ListenOptions& options);
  Result<std::string> StartRest(const ListenOptions& options);

  // Opens the door at which operators ask for health and status and order the actions load, unload,
  // switch and rollback. `actions` does one: it is called with one instance of three strings, the
  // action, the servable and a JSON object, and gives one string, the JSON of the answer. One runs
  // at a time, on a thread of the server, which it must not stop there. Whoever reaches the address
  // may order, unless `options.ssl` verifies clients. Bodies are up to 64 KB, whatever
  // max_message_bytes is. Errors: as above; kInvalidArgument (no actions).
  Result<std::string> StartAdmin(const ListenOptions& options,
                                 std::shared_ptr<HostFunction> actions);

  // Runs a pipeline, or a method of a servable without pipelines, as one request of this process:
  // on the calling thread, with no socket, queue or copy in between, under the limits and deadlines
  // that hold for clients. Inputs and outputs are in declared order. It returns when the host
  // function has, also after the deadline.
  // Errors: kNotFound (servable, callable), kInvalidArgument (inputs), kResourceExhausted (too many
  // requests are in the server), kUnavailable, kDeadlineExceeded; what a host function returned.
  Result<Instance> Infer(const std::string& servable, const std::string& callable, Instance inputs,
                         const InferOptions& options = {});

  // Runs a method of a loaded servable: what PipelineServable.run does inside a pipeline, on the
  // calling thread. One result per instance. Inside a pipeline function the request's deadline
  // holds. `residents` are the handles whose tensors are among the values. `held` is what the
  // calling thread holds, if anything: it is given up while the call may take long, or wait, and
  // kept through a graph of this process that lately took next to no time. Errors: kNotFound ("Not
  // support method fun9"), kInvalidArgument (also a resident of another servable), kUnavailable;
  // those of ResidentTensor::Fetch().
  Result<std::vector<Result<Instance>>> RunMethod(const std::string& servable, uint64_t version,
                                                  const std::string& method,
                                                  std::vector<Instance> instances,
                                                  const ResidentTensors& residents = {},
                                                  HostLock* held = nullptr) override;

  // RunMethod() of one instance: its result.
  Result<Instance> RunOne(const std::string& servable, uint64_t version, const std::string& method,
                          Instance instance);

  // RunMethod(), but the outputs stay where they are and handles to them come back. Only on a
  // thread that works for a request, whose end frees them. Errors: those of RunMethod();
  // kFailedPrecondition (outside a request).
  Result<std::vector<Result<ResidentTensors>>> RunAndKeep(const std::string& servable,
                                                          uint64_t version,
                                                          const std::string& method,
                                                          std::vector<Instance> instances,
                                                          const ResidentTensors& residents = {},
                                                          HostLock* held = nullptr) override;

  // RunMethod() on another thread, so that a pipeline function can fan out: calls begin in the
  // order in which they are submitted. Errors: those of RunMethod(); kResourceExhausted (too many
  // wait); kDeadlineExceeded, kCancelled (the request has been given up).
  Result<std::shared_ptr<PendingCall>> SubmitMethod(const std::string& servable, uint64_t version,
                                                    const std::string& method,
                                                    std::vector<Instance> instances,
                                                    ResidentTensors residents = {}) override;

  // RunAndKeep() on another thread; see PendingCall::kept().
  Result<std::shared_ptr<PendingCall>> SubmitAndKeep(const std::string& servable, uint64_t version,
                                                     const std::string& method,
                                                     std::vector<Instance> instances,
                                                     ResidentTensors residents = {}) override;

  // Refuses new requests with kUnavailable and waits until those that are in are answered. Those
  // that are not in time are given up, with kUnavailable, too. Stop() comes next.
  void Drain(std::chrono::milliseconds timeout);

  // Closes the doors, answers everything that is in flight, tells the agents. What runs is awaited,
  // what waits is answered with kUnavailable. Idempotent.
  void Stop();

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipeserve
