#include "pipeserve/server.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>

#include "base/malloc_tuning.h"
#include "base/mutex.h"
#include "base/str_cat.h"
#include "server/dispatcher.h"
#include "server/distributed_servable.h"
#include "server/doors.h"
#include "server/local_servable.h"

namespace pipeserve {
namespace {

constexpr std::chrono::milliseconds kMaxRequestTime = std::chrono::hours(24 * 366);

// A servable in the server; one of the two.
struct Loaded {
  std::string name;
  uint64_t version = 0;
  std::shared_ptr<Servable> local = nullptr;
  std::shared_ptr<DistributedServable> distributed = nullptr;

  void Stop() const {
    if (local != nullptr) local->Stop();
    if (distributed != nullptr) distributed->Stop();
  }
};

ServableState DescribeRow(const VersionTable::Row& row) {
  ServableState state{.name = row.name,
                      .version = row.version,
                      .state = row.available ? "READY" : "LOADING",
                      .is_default = row.is_default};
  if (row.retired) state.state = "UNLOADING";
  if (row.servable == nullptr) return state;
  state.waiting = row.servable->waiting();
  state.running =
      std::max<size_t>(static_cast<size_t>(row.requests), state.waiting) - state.waiting;
  state.max_inflight = static_cast<size_t>(row.servable->max_inflight());
  state.callables = row.servable->CallableNames();
  return state;
}

// A servable that is being loaded into this process.
struct Loading {
  std::string name;
  uint64_t version = 0;
  std::shared_ptr<CancelToken> cancel = std::make_shared<CancelToken>();
};

auto IsVersion(const std::string& name, uint64_t version) {
  return
      [&name, version](const auto& item) { return item.name == name && item.version == version; };
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
    PIPESERVE_RETURN_IF_ERROR(versions_.Reserve(spec.name, spec.version, options.on_request_only));
    const Status status = LoadReserved(spec, options);
    if (!status.ok()) versions_.Remove(spec.name, spec.version);
    return status;
  }

  Result<std::string> StartDistributed(const ServableSpec& spec,
                                       const DistributedServableOptions& options) {
    PIPESERVE_RETURN_IF_ERROR(versions_.Reserve(spec.name, spec.version, options.on_request_only));
    Result<std::string> address = StartReserved(spec, options);
    if (!address.ok()) versions_.Remove(spec.name, spec.version);
    return address;
  }

  Status WaitReady(const std::string& name, uint64_t version, Deadline deadline) {
    const std::optional<Loaded> found = FindLoaded(name, version);
    if (!found.has_value()) {
      return NotFound(StrCat("servable ", name, " version ", version, " has not been started"));
    }
    return found->distributed == nullptr ? OkStatus() : found->distributed->WaitReady(deadline);
  }

  Status Switch(const std::string& name, uint64_t version) {
    return versions_.Switch(name, version);
  }

  Status Unload(const std::string& name, uint64_t version, Deadline drain) {
    const std::optional<Loaded> found = FindLoaded(name, version);
    if (!found.has_value() && GiveUpLoading(name, version)) return OkStatus();
    PIPESERVE_RETURN_IF_ERROR(versions_.Retire(name, version));
    dispatcher_.Drain(name, version, drain);
    if (found.has_value()) found->Stop();
    {
      MutexLock lock(mutex_);
      std::erase_if(loaded_, IsVersion(name, version));
    }
    versions_.Remove(name, version);
    return OkStatus();
  }

  ServerState state() {
    ServerState now{.ready = dispatcher_.AllAvailable()};
    const Admission& admission = dispatcher_.admission();
    now.requests = admission.requests();
    now.max_requests = admission.limits().max_requests;
    now.bytes = admission.bytes();
    now.max_bytes = admission.limits().max_bytes;
    for (const VersionTable::Row& row : versions_.Rows()) {
      now.servables.push_back(DescribeRow(row));
      const std::optional<Loaded> found = FindLoaded(row.name, row.version);
      if (!found.has_value() || found->distributed == nullptr) continue;
      found->distributed->Describe(&now.servables.back());
    }
    const Doors::Addresses addresses = doors_.addresses();
    now.grpc_address = addresses.grpc;
    now.rest_address = addresses.rest;
    now.admin_address = addresses.admin;
    return now;
  }

  void Drain(Deadline deadline) {
    dispatcher_.Close();
    dispatcher_.Drain(deadline);
  }

  Result<std::string> StartGrpc(const ListenOptions& options) { return doors_.OpenGrpc(options); }

  Result<std::string> StartRest(const ListenOptions& options) { return doors_.OpenRest(options); }

  Result<std::string> StartAdmin(const ListenOptions& options,
                                 std::shared_ptr<HostFunction> actions) {
    return doors_.OpenAdmin(options, [this] { return ToJson(state()); }, std::move(actions));
  }

  Result<Instance> Infer(const ClientRequest& request, Instance inputs) {
    return dispatcher_.Run(request, std::move(inputs));
  }

  Result<std::shared_ptr<Servable>> Find(const std::string& name, uint64_t version) const {
    if (std::shared_ptr<Servable> found = versions_.Find(name, version)) return found;
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
    for (const Loading& each : TakeLoading([](const Loading&) { return true; })) {
      each.cancel->Raise();
    }
    doors_.Lock();
    for (const Loaded& each : AllLoaded()) each.Stop();
    dispatcher_.Drain(
        Deadline::Infinite());  // Whoever has answered the last one may still hold it.
    doors_.Close();
  }

 private:
  // The scheduler of one servable, whose own setting counts.
  template <typename Options>
  SchedulerOptions SchedulerFor(const Options& options) const {
    SchedulerOptions scheduler = scheduler_;
    if (options.max_inflight != 0) scheduler.max_inflight = options.max_inflight;
    return scheduler;
  }

  Status Begin(const Loading& loading) {
    MutexLock lock(mutex_);
    if (stopped_) return StoppedError();
    loading_.push_back(loading);
    return OkStatus();
  }

  // What is taken is given up.
  template <typename Predicate>
  std::vector<Loading> TakeLoading(const Predicate& predicate) {
    MutexLock lock(mutex_);
    const auto taken = std::ranges::partition(loading_, std::not_fn(predicate));
    std::vector<Loading> given_up(taken.begin(), taken.end());
    loading_.erase(taken.begin(), taken.end());
    return given_up;
  }

  // Whether it is being loaded; its loading fails soon.
  bool GiveUpLoading(const std::string& name, uint64_t version) {
    const std::vector<Loading> found = TakeLoading(IsVersion(name, version));
    for (const Loading& each : found) each.cancel->Raise();
    return !found.empty();
  }

  Status LoadReserved(const ServableSpec& spec, const LocalServableOptions& options) {
    const Loading loading{spec.name, spec.version};
    PIPESERVE_RETURN_IF_ERROR(Begin(loading));
    const Result<std::shared_ptr<Servable>> servable = MakeWarm(spec, options, loading.cancel);
    const bool given_up = TakeLoading(IsVersion(spec.name, spec.version)).empty();
    PIPESERVE_RETURN_IF_ERROR(servable.status());
    const Status status = given_up ? Cancelled(StrCat("loading ", spec.name, " was given up"))
                                   : Keep({spec.name, spec.version, *servable});
    if (!status.ok()) {
      (*servable)->Stop();
      return status;
    }
    versions_.Publish(spec.name, spec.version);
    return OkStatus();
  }

  // It is bound, so that its warm-up can call its methods.
  Result<std::shared_ptr<Servable>> MakeWarm(const ServableSpec& spec,
                                             const LocalServableOptions& options,
                                             const std::shared_ptr<CancelToken>& cancel) {
    PIPESERVE_ASSIGN_OR_RETURN(std::shared_ptr<Servable> servable,
                               MakeLocalServable(spec, options, SchedulerFor(options)));
    versions_.Bind(spec.name, spec.version, servable);
    Status status = servable->WarmUp(options.warm_up, cancel);
    if (status.ok()) return servable;
    servable->Stop();
    return status;
  }

  // Unless the server has been stopped.
  Status Keep(Loaded loaded) {
    MutexLock lock(mutex_);
    if (stopped_) return StoppedError();
    loaded_.push_back(std::move(loaded));
    return OkStatus();
  }

  std::vector<Loaded> AllLoaded() {
    MutexLock lock(mutex_);
    return loaded_;
  }

  std::optional<Loaded> FindLoaded(const std::string& name, uint64_t version) {
    MutexLock lock(mutex_);
    const auto found = std::ranges::find_if(loaded_, IsVersion(name, version));
    return found == loaded_.end() ? std::nullopt : std::optional(*found);
  }

  Result<std::string> StartReserved(const ServableSpec& spec,
                                    const DistributedServableOptions& options) {
    PIPESERVE_ASSIGN_OR_RETURN(
        std::shared_ptr<DistributedServable> servable,
        DistributedServable::Start(spec, options, SchedulerFor(options), &versions_));
    PIPESERVE_RETURN_IF_ERROR(
        Keep({.name = spec.name, .version = spec.version, .distributed = servable}));
    return servable->address();
  }

  // From the inside out: doors are closed before what they send requests to is destroyed.
  Timer timer_;
  Dispatcher dispatcher_;
  VersionTable& versions_ = dispatcher_.versions();
  const SchedulerOptions scheduler_;
  Mutex stop_mutex_;
  Mutex mutex_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  // These do not grow once stopped_ is set.
  std::vector<Loading> loading_ GUARDED_BY(mutex_);
  std::vector<Loaded> loaded_ GUARDED_BY(mutex_);
  Doors doors_{&dispatcher_};
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

Status Server::Switch(const std::string& name, uint64_t version) {
  return impl_->Switch(name, version);
}

Status Server::Unload(const std::string& name, uint64_t version,
                      std::chrono::milliseconds drain_timeout) {
  return impl_->Unload(name, version, Deadline::After(drain_timeout));
}

ServerState Server::state() const { return impl_->state(); }

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

void Server::Drain(std::chrono::milliseconds timeout) { impl_->Drain(Deadline::After(timeout)); }

void Server::Stop() { impl_->Stop(); }

}  // namespace pipeserve
