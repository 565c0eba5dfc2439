#include "pipeserve/server.h"

#include <cstdint>
#include <limits>
#include <utility>

#include "base/available_cores.h"
#include "base/malloc_tuning.h"
#include "base/mutex.h"
#include "base/socket.h"
#include "base/str_cat.h"
#include "executor/cpu/cpu_executor.h"
#include "graph/model_file.h"
#include "pipeserve/log.h"
#include "server/admin_service.h"
#include "server/dispatcher.h"
#include "server/distributed_servable.h"
#include "server/grpc_door.h"
#include "server/http_door.h"
#include "server/rest_service.h"

namespace pipeserve {
namespace {

constexpr size_t kMaxMessageBytes = size_t{512} << 20;
constexpr std::chrono::milliseconds kMaxRequestTime = std::chrono::hours(24 * 366);

Status CheckListenOptions(const ListenOptions& options) {
  if (options.max_message_bytes < 1 || options.max_message_bytes > kMaxMessageBytes) {
    return InvalidArgument(StrCat("max_message_bytes is ", options.max_message_bytes,
                                  ", it must be 1 to ", kMaxMessageBytes));
  }
  if (options.max_connections < 1) {
    return InvalidArgument(
        StrCat("max_connections is ", options.max_connections, ", it must be at least 1"));
  }
  return OkStatus();
}

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

Result<std::shared_ptr<Servable>> BuildLocal(const ServableSpec& spec,
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

void WarnIfOpen(const ListenOptions& options, const std::string& address) {
  const bool knows_clients = options.ssl.has_value() && options.ssl->verify_client;
  if (knows_clients || IsLoopbackAddress(address)) return;
  Log(LogLevel::kWarning, "whoever reaches the admin address can load and unload servables",
      {{"address", address}, {"wanted", "certificates of the operators"}});
}

Status StoppedError() { return FailedPrecondition("the server has been stopped"); }

}  // namespace

class Server::Impl {
 public:
  explicit Impl(const ServerOptions& options)
      : dispatcher_({.limits = {options.max_enqueued_requests, options.max_enqueued_bytes},
                     .max_request_time = options.max_request_time}),
        // The dispatcher counts requests of all servables; their own queues do not refuse first.
        scheduler_{.max_inflight = options.max_inflight,
                   .queue_capacity = std::numeric_limits<int32_t>::max(),
                   .timer = &timer_} {}
  ~Impl() { Stop(); }

  void set_max_enqueued_requests(size_t limit) { dispatcher_.set_max_enqueued_requests(limit); }

  Status LoadLocal(const ServableSpec& spec, const LocalServableOptions& options) {
    PIPESERVE_RETURN_IF_ERROR(dispatcher_.Reserve(spec.name, spec.version));
    const Status status = LoadReserved(spec, options);
    if (!status.ok()) dispatcher_.Remove(spec.name, spec.version);
    return status;
  }

  Result<std::string> StartDistributed(const ServableSpec& spec,
                                       const DistributedServableOptions& options) {
    PIPESERVE_RETURN_IF_ERROR(dispatcher_.Reserve(spec.name, spec.version));
    Result<std::string> address = StartReserved(spec, options);
    if (!address.ok()) dispatcher_.Remove(spec.name, spec.version);
    return address;
  }

  Status WaitReady(const std::string& name, uint64_t version, Deadline deadline) {
    std::shared_ptr<DistributedServable> found;
    {
      MutexLock lock(mutex_);
      for (const auto& each : distributed_) {
        if (each->spec().name == name && each->spec().version == version) found = each;
      }
    }
    if (found != nullptr) return found->WaitReady(deadline);
    if (dispatcher_.Find(name, version) != nullptr) return OkStatus();
    return NotFound(StrCat("servable ", name, " version ", version, " has not been started"));
  }

  Result<std::string> StartGrpc(const ListenOptions& options) {
    return OpenDoor(options, &grpc_, "Serving Error: Serving gRPC server is already running",
                    [&] { return GrpcDoor::Open(options, &dispatcher_); });
  }

  Result<std::string> StartRest(const ListenOptions& options) {
    return OpenDoor(options, &rest_, "Serving Error: RESTful server is already running", [&] {
      return HttpDoor::Open(options,
                            std::make_unique<RestService>(&dispatcher_, options.http_status_codes));
    });
  }

  Result<std::string> StartAdmin(ListenOptions options, std::shared_ptr<HostFunction> actions) {
    if (actions == nullptr) return InvalidArgument("the admin server needs a function of actions");
    options.max_message_bytes = AdminService::kMaxBodyBytes;
    PIPESERVE_ASSIGN_OR_RETURN(
        std::string address,
        OpenDoor(options, &admin_, "Serving Error: admin server is already running", [&] {
          return HttpDoor::Open(options,
                                std::make_unique<AdminService>(
                                    &dispatcher_, [] { return "{}"; }, std::move(actions)));
        }));
    WarnIfOpen(options, address);
    return address;
  }

  Result<Instance> Infer(const ClientRequest& request, Instance inputs) {
    return dispatcher_.Run(request, std::move(inputs));
  }

  Result<std::shared_ptr<Servable>> Find(const std::string& name, uint64_t version) const {
    if (std::shared_ptr<Servable> found = dispatcher_.Find(name, version)) return found;
    return Unavailable(StrCat("Run worker for inference failed, worker has not been started: ",
                              "servable ", name, " version ", version));
  }

  // First the requests, then the doors they came in by: a door that closes waits for them.
  void Stop() {
    MutexLock stop_lock(stop_mutex_);  // A second caller waits for the first.
    dispatcher_.Close();
    {
      MutexLock lock(mutex_);
      stopped_ = true;
    }
    for (const auto& servable : local_) servable->Stop();
    for (const auto& servable : distributed_) servable->Stop();
    // Without the lock, for an action that is awaited may ask for a door, and be refused one.
    if (HttpDoor* const admin = admin_door()) admin->Close();
    MutexLock door_lock(door_mutex_);
    if (grpc_ != nullptr) grpc_->Close();
    if (rest_ != nullptr) rest_->Close();
  }

 private:
  // The scheduler of one servable, whose own setting counts.
  template <typename Options>
  SchedulerOptions SchedulerFor(const Options& options) const {
    SchedulerOptions scheduler = scheduler_;
    if (options.max_inflight != 0) scheduler.max_inflight = options.max_inflight;
    return scheduler;
  }

  Status LoadReserved(const ServableSpec& spec, const LocalServableOptions& options) {
    PIPESERVE_ASSIGN_OR_RETURN(std::shared_ptr<Servable> servable,
                               BuildLocal(spec, options, SchedulerFor(options)));
    MutexLock lock(mutex_);
    if (stopped_) return StoppedError();
    local_.push_back(servable);
    dispatcher_.Publish(spec.name, spec.version, std::move(servable));
    return OkStatus();
  }

  Result<std::string> StartReserved(const ServableSpec& spec,
                                    const DistributedServableOptions& options) {
    PIPESERVE_ASSIGN_OR_RETURN(
        std::shared_ptr<DistributedServable> servable,
        DistributedServable::Start(spec, options, SchedulerFor(options), &dispatcher_));
    MutexLock lock(mutex_);
    if (stopped_) return StoppedError();
    distributed_.push_back(servable);
    return servable->address();
  }

  template <typename Door, typename Open>
  Result<std::string> OpenDoor(const ListenOptions& options, std::unique_ptr<Door>* door,
                               const char* already_open, const Open& open) {
    PIPESERVE_RETURN_IF_ERROR(CheckListenOptions(options));
    MutexLock door_lock(door_mutex_);
    if (*door != nullptr) return AlreadyExists(already_open);
    if (stopped()) return StoppedError();
    PIPESERVE_ASSIGN_OR_RETURN(*door, open());
    return (*door)->address();
  }

  // Null: it has not been opened. None is opened once stopped_ is set.
  HttpDoor* admin_door() {
    MutexLock door_lock(door_mutex_);
    return admin_.get();
  }

  bool stopped() {
    MutexLock lock(mutex_);
    return stopped_;
  }

  // From the inside out: doors are closed before what they send requests to is destroyed.
  Timer timer_;
  Dispatcher dispatcher_;
  const SchedulerOptions scheduler_;
  Mutex stop_mutex_;
  Mutex mutex_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  // Only grow, and not any more once stopped_ is set.
  std::vector<std::shared_ptr<Servable>> local_;
  std::vector<std::shared_ptr<DistributedServable>> distributed_;
  Mutex door_mutex_;
  std::unique_ptr<GrpcDoor> grpc_ GUARDED_BY(door_mutex_);
  std::unique_ptr<HttpDoor> rest_ GUARDED_BY(door_mutex_);
  std::unique_ptr<HttpDoor> admin_ GUARDED_BY(door_mutex_);
};

Result<std::unique_ptr<Server>> Server::Create(const ServerOptions& options) {
  if (options.max_inflight < 1) {
    return InvalidArgument(
        StrCat("max_inflight is ", options.max_inflight, ", it must be at least 1"));
  }
  if (options.max_enqueued_requests < 1) {
    return InvalidArgument("max_enqueued_requests is 0, it must be at least 1");
  }
  if (options.max_enqueued_bytes < 1) {
    return InvalidArgument("max_enqueued_bytes is 0, it must be at least 1");
  }
  if (options.max_request_time.count() < 0 || options.max_request_time > kMaxRequestTime) {
    return InvalidArgument(StrCat("max_request_time is ", options.max_request_time.count(),
                                  " ms, it must be 0 to ", kMaxRequestTime.count(), " ms"));
  }
  TuneMallocForServing();
  return std::unique_ptr<Server>(new Server(std::make_unique<Impl>(options)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

void Server::set_max_enqueued_requests(size_t limit) { impl_->set_max_enqueued_requests(limit); }

Status Server::LoadLocal(const ServableSpec& spec, const LocalServableOptions& options) {
  return impl_->LoadLocal(spec, options);
}

Result<std::string> Server::StartDistributed(const ServableSpec& spec,
                                             const DistributedServableOptions& options) {
  return impl_->StartDistributed(spec, options);
}

Status Server::WaitReady(const std::string& name, uint64_t version,
                         std::chrono::milliseconds timeout) {
  return impl_->WaitReady(name, version, Deadline::After(timeout));
}

Result<std::string> Server::StartGrpc(const ListenOptions& options) {
  return impl_->StartGrpc(options);
}

Result<std::string> Server::StartRest(const ListenOptions& options) {
  return impl_->StartRest(options);
}

Result<std::string> Server::StartAdmin(const ListenOptions& options,
                                       std::shared_ptr<HostFunction> actions) {
  return impl_->StartAdmin(options, std::move(actions));
}

Result<Instance> Server::Infer(const std::string& servable, const std::string& callable,
                               Instance inputs, const InferOptions& options) {
  if (options.timeout.count() < 0 || options.timeout > kMaxRequestTime) {
    return InvalidArgument(StrCat("timeout is ", options.timeout.count(), " ns, it must be 0 to ",
                                  kMaxRequestTime.count(), " ms"));
  }
  ClientRequest request{.servable = servable, .method = callable, .version = options.version};
  if (options.timeout.count() > 0) request.deadline = Deadline::After(options.timeout);
  return impl_->Infer(request, std::move(inputs));
}

Result<std::vector<Result<Instance>>> Server::RunMethod(const std::string& servable,
                                                        uint64_t version, const std::string& method,
                                                        std::vector<Instance> instances,
                                                        const ResidentTensors& residents,
                                                        HostLock* held) {
  PIPESERVE_ASSIGN_OR_RETURN(const std::shared_ptr<Servable> found, impl_->Find(servable, version));
  return found->RunMethod(method, std::move(instances), residents, held);
}

Result<Instance> Server::RunOne(const std::string& servable, uint64_t version,
                                const std::string& method, Instance instance) {
  std::vector<Instance> instances;
  instances.push_back(std::move(instance));
  PIPESERVE_ASSIGN_OR_RETURN(std::vector<Result<Instance>> results,
                             RunMethod(servable, version, method, std::move(instances)));
  return std::move(results.front());
}

Result<std::vector<Result<ResidentTensors>>> Server::RunAndKeep(
    const std::string& servable, uint64_t version, const std::string& method,
    std::vector<Instance> instances, const ResidentTensors& residents, HostLock* held) {
  PIPESERVE_ASSIGN_OR_RETURN(const std::shared_ptr<Servable> found, impl_->Find(servable, version));
  return found->RunAndKeep(method, std::move(instances), residents, held);
}

Result<std::shared_ptr<PendingCall>> Server::SubmitMethod(const std::string& servable,
                                                          uint64_t version,
                                                          const std::string& method,
                                                          std::vector<Instance> instances,
                                                          ResidentTensors residents) {
  PIPESERVE_ASSIGN_OR_RETURN(const std::shared_ptr<Servable> found, impl_->Find(servable, version));
  return found->SubmitMethod(method, std::move(instances), std::move(residents));
}

Result<std::shared_ptr<PendingCall>> Server::SubmitAndKeep(const std::string& servable,
                                                           uint64_t version,
                                                           const std::string& method,
                                                           std::vector<Instance> instances,
                                                           ResidentTensors residents) {
  PIPESERVE_ASSIGN_OR_RETURN(const std::shared_ptr<Servable> found, impl_->Find(servable, version));
  return found->SubmitAndKeep(method, std::move(instances), std::move(residents));
}

void Server::Stop() { impl_->Stop(); }

}  // namespace pipeserve
