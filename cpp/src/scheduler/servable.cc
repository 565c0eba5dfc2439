#include "scheduler/servable.h"

#include <algorithm>
#include <map>
#include <thread>
#include <utility>

#include "base/str_cat.h"
#include "pipeline/batch.h"
#include "pipeline/servable_check.h"
#include "scheduler/call_gate.h"
#include "scheduler/call_pool.h"
#include "scheduler/method_runner.h"
#include "scheduler/pipeline_runner.h"
#include "scheduler/request_scope.h"
#include "scheduler/runner_pool.h"
#include "scheduler/warm_up.h"

namespace pipeserve {
namespace {

using Results = PendingCall::Results;
using KeptResults = PendingCall::KeptResults;

constexpr int kMaxRunners = 1024;
constexpr std::chrono::hours kLongestTimeout{24 * 366};

Status CheckOptions(const SchedulerOptions& options) {
  if (options.max_inflight < 1 || options.max_inflight > kMaxRunners) {
    return InvalidArgument(
        StrCat("max_inflight is ", options.max_inflight, ", wanted 1 to ", kMaxRunners));
  }
  if (options.queue_capacity < 1) {
    return InvalidArgument("queue_capacity is 0, wanted at least 1");
  }
  return OkStatus();
}

template <typename Spec>
Status CheckTimeouts(const std::vector<Spec>& specs) {
  for (const Spec& spec : specs) {
    if (spec.timeout >= Duration::zero() && spec.timeout <= kLongestTimeout) continue;
    return InvalidArgument(StrCat("the timeout of ", spec.name, " is ", spec.timeout.count(),
                                  " ns, wanted 0 to ", kLongestTimeout.count(), " h"));
  }
  return OkStatus();
}

std::vector<GraphSignature> SignaturesOf(const Executor& executor) {
  std::vector<GraphSignature> signatures;
  for (GraphId graph = 0; graph < executor.graph_count(); ++graph) {
    signatures.push_back(executor.signature(graph));
  }
  return signatures;
}

Status UnknownMethod(const std::string& method) {
  return NotFound(StrCat("Not support method ", method));
}

Status NothingToKeepFor(const std::string& method) {
  return FailedPrecondition(StrCat("the outputs of ", method,
                                   " can be kept on a thread that works for a request, this one "
                                   "does not"));
}

// Errors: one of them cannot be used in a call of `servable`.
Status CheckResidents(const ResidentTensors& residents, const KeepingServable& servable) {
  for (const auto& resident : residents) {
    const auto* const kept = dynamic_cast<const KeptOutput*>(resident.get());
    if (kept == nullptr) return InvalidArgument("a resident tensor that no servable has kept");
    PIPESERVE_RETURN_IF_ERROR(kept->CheckUse(servable));
  }
  return OkStatus();
}

}  // namespace

class Servable::Impl {
 public:
  Impl(ServableSpec spec, std::shared_ptr<Executor> executor, BatchLayout layout,
       const SchedulerOptions& options);

  // The runners read everything else, so they start last and end first.
  Status Start() { return pool_.Start(); }
  void Stop();

  Status WarmUp(bool runs_graphs, std::shared_ptr<CancelToken> cancel);
  void GiveUpAll(const Status& reason) { pool_.GiveUpAll(reason); }
  size_t waiting() const { return pool_.waiting(); }
  int max_inflight() const { return pool_.max_inflight(); }
  const ServableSpec& spec() const { return spec_; }
  Executor& executor() const { return *executor_; }
  const Signature* FindCallable(const std::string& name) const;
  std::vector<std::string> CallableNames() const;
  void Submit(const std::string& name, std::vector<Instance> instances, RequestInfo info,
              Done done);
  Result<Instance> RunRequest(const std::string& name, Instance inputs, RequestInfo info);
  Result<Results> RunMethod(const std::string& method, std::vector<Instance> instances,
                            const ResidentTensors& residents, HostLock* held);
  Result<KeptResults> RunAndKeep(const std::string& method, std::vector<Instance> instances,
                                 const ResidentTensors& residents, HostLock* held);
  Result<std::shared_ptr<PendingCall>> SubmitMethod(const std::string& method,
                                                    std::vector<Instance> instances,
                                                    ResidentTensors residents);
  Result<std::shared_ptr<PendingCall>> SubmitAndKeep(const std::string& method,
                                                     std::vector<Instance> instances,
                                                     ResidentTensors residents);

 private:
  struct Method {
    Method(const std::string& servable, const MethodSpec& spec, const BatchLayout& layout,
           Executor& executor, std::shared_ptr<const OutputOrigin> output_origin)
        : runner(servable, spec, layout, executor), origin(std::move(output_origin)) {}

    MethodRunner runner;
    std::shared_ptr<const OutputOrigin> origin;
  };

  struct Entry {
    Signature signature;
    const Callable* callable;
    Duration timeout;
    bool replayable;
  };

  template <typename Spec>
  void AddEntry(const Spec& spec, const Callable& callable, bool replayable) {
    entries_.emplace(
        spec.name,
        Entry{{spec.input_names, spec.output_names}, &callable, spec.timeout, replayable});
  }

  // Null when there is none. What it finds sets the deadline of `info`, and what may be repeated.
  const Callable* FindEntry(const std::string& name, RequestInfo* info) const;
  Result<const Method*> FindMethod(const std::string& name,
                                   std::span<const Instance> instances) const;
  Result<Results> Call(const Method& method, std::vector<Instance> instances,
                       const CallContext& context);
  Result<std::shared_ptr<PendingCall>> Submit(SubmittedCall::Work work);

  const ServableSpec spec_;
  const std::shared_ptr<Executor> executor_;
  const BatchLayout layout_;
  const std::shared_ptr<const KeepingServable> keeping_servable_;
  std::map<std::string, Method> methods_;
  std::map<std::string, PipelineRunner> pipelines_;
  std::map<std::string, Entry> entries_;  // What clients may call.
  CallGate direct_calls_;                 // Callers inside RunMethod().
  const std::unique_ptr<Timer> own_timer_;
  Timer& timer_;
  CallPool calls_;  // Outlives the requests, which wait for their calls.
  RunnerPool pool_;
};

Servable::Impl::Impl(ServableSpec spec, std::shared_ptr<Executor> executor, BatchLayout layout,
                     const SchedulerOptions& options)
    : spec_(std::move(spec)),
      executor_(std::move(executor)),
      layout_(std::move(layout)),
      keeping_servable_(std::make_shared<KeepingServable>(
          KeepingServable{StrCat(spec_.name, " version ", spec_.version), executor_})),
      own_timer_(options.timer == nullptr ? std::make_unique<Timer>() : nullptr),
      timer_(options.timer == nullptr ? *own_timer_ : *options.timer),
      calls_(std::max(options.max_inflight, static_cast<int>(std::thread::hardware_concurrency()))),
      pool_(options, timer_) {
  for (const MethodSpec& method : spec_.methods) {
    const auto origin = std::make_shared<OutputOrigin>(
        OutputOrigin{keeping_servable_, StrCat(spec_.name, ".", method.name)});
    const auto added =
        methods_.try_emplace(method.name, spec_.name, method, layout_, *executor_, origin);
    if (spec_.pipelines.empty()) AddEntry(method, added.first->second.runner, true);
  }
  for (const PipelineSpec& pipeline : spec_.pipelines) {
    AddEntry(pipeline, pipelines_.try_emplace(pipeline.name, pipeline).first->second,
             pipeline.replayable);
  }
}

void Servable::Impl::Stop() {
  // In this order, because what runs in the pool may still call RunMethod().
  pool_.Stop();
  calls_.Stop();
  direct_calls_.Close();
}

Status Servable::Impl::WarmUp(bool runs_graphs, std::shared_ptr<CancelToken> cancel) {
  const pipeserve::WarmUp warm_up(spec_, *executor_, runs_graphs);
  const Status status = pool_.RunHere(warm_up, {.cancel = cancel}, {Instance{}}).front().status();
  if (cancel == nullptr || !cancel->raised()) return status;
  return Cancelled(StrCat(keeping_servable_->title, ": its warm-up was given up"));
}

const Servable::Signature* Servable::Impl::FindCallable(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second.signature;
}

std::vector<std::string> Servable::Impl::CallableNames() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

void Servable::Impl::Submit(const std::string& name, std::vector<Instance> instances,
                            RequestInfo info, Done done) {
  if (instances.empty()) return done({});
  const Callable* const callable = FindEntry(name, &info);
  if (callable == nullptr) {
    info.ticket.Return();
    return done(std::vector<Result<Instance>>(instances.size(), UnknownMethod(name)));
  }
  pool_.Submit(*callable, std::move(info), std::move(instances), std::move(done));
}

Result<Instance> Servable::Impl::RunRequest(const std::string& name, Instance inputs,
                                            RequestInfo info) {
  const Callable* const callable = FindEntry(name, &info);
  if (callable == nullptr) {
    info.ticket.Return();
    return UnknownMethod(name);
  }
  std::vector<Instance> instances;
  instances.push_back(std::move(inputs));
  return std::move(pool_.RunHere(*callable, std::move(info), std::move(instances)).front());
}

const Callable* Servable::Impl::FindEntry(const std::string& name, RequestInfo* info) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) return nullptr;
  const Entry& entry = found->second;
  info->replayable = entry.replayable;
  if (entry.timeout > Duration::zero()) {
    info->deadline = Earlier(info->deadline, Deadline::After(entry.timeout, timer_.clock()));
  }
  return entry.callable;
}

Result<const Servable::Impl::Method*> Servable::Impl::FindMethod(
    const std::string& name, std::span<const Instance> instances) const {
  const auto found = methods_.find(name);
  if (found == methods_.end()) return UnknownMethod(name);
  if (instances.empty()) return InvalidArgument("Inputs cannot be empty");
  return &found->second;
}

Result<Results> Servable::Impl::Call(const Method& method, std::vector<Instance> instances,
                                     const CallContext& context) {
  if (!direct_calls_.Enter()) return NotAvailable();
  Results results = method.runner.Run(std::move(instances), context);
  direct_calls_.Leave();
  // What fails because the request was given up says why it was, wherever the call noticed.
  const RequestArena* const arena = RequestScope::Current();
  const auto failed = [](const Result<Instance>& result) { return !result.ok(); };
  if (arena != nullptr && std::any_of(results.begin(), results.end(), failed)) {
    PIPESERVE_RETURN_IF_ERROR(arena->status());
  }
  return results;
}

Result<Results> Servable::Impl::RunMethod(const std::string& name, std::vector<Instance> instances,
                                          const ResidentTensors& residents, HostLock* held) {
  PIPESERVE_ASSIGN_OR_RETURN(const Method* const method, FindMethod(name, instances));
  const RequestArena* const arena = RequestScope::Current();
  if (arena != nullptr) PIPESERVE_RETURN_IF_ERROR(arena->status());
  CallContext context = RequestScope::Context();
  context.host_lock = held;
  PIPESERVE_RETURN_IF_ERROR(CheckResidents(residents, *keeping_servable_));
  Result<Results> results = Call(*method, std::move(instances), context);
  if (arena == nullptr || !results.ok()) return results;
  return arena->Charge(*std::move(results));
}

Result<KeptResults> Servable::Impl::RunAndKeep(const std::string& name,
                                               std::vector<Instance> instances,
                                               const ResidentTensors& residents, HostLock* held) {
  PIPESERVE_ASSIGN_OR_RETURN(const Method* const method, FindMethod(name, instances));
  RequestArena* const arena = RequestScope::Current();
  if (arena == nullptr) return NothingToKeepFor(method->origin->method);
  PIPESERVE_RETURN_IF_ERROR(arena->status());
  CallContext context = RequestScope::Context();
  context.host_lock = held;
  context.keeps_outputs = true;
  PIPESERVE_RETURN_IF_ERROR(CheckResidents(residents, *keeping_servable_));
  PIPESERVE_ASSIGN_OR_RETURN(Results results, Call(*method, std::move(instances), context));
  KeptResults kept;
  kept.reserve(results.size());
  for (Result<Instance>& result : results) {
    if (result.ok()) {
      kept.push_back(arena->Keep(method->origin, *std::move(result)));
    } else {
      kept.emplace_back(result.status());
    }
  }
  return kept;
}

Result<std::shared_ptr<PendingCall>> Servable::Impl::SubmitMethod(const std::string& name,
                                                                  std::vector<Instance> instances,
                                                                  ResidentTensors residents) {
  PIPESERVE_RETURN_IF_ERROR(FindMethod(name, instances).status());
  return Submit([this, name, instances = std::move(instances),
                 residents = std::move(residents)]() mutable -> SubmittedCall::Outcome {
    return RunMethod(name, std::move(instances), residents, /*held=*/nullptr);
  });
}

Result<std::shared_ptr<PendingCall>> Servable::Impl::SubmitAndKeep(const std::string& name,
                                                                   std::vector<Instance> instances,
                                                                   ResidentTensors residents) {
  PIPESERVE_ASSIGN_OR_RETURN(const Method* const method, FindMethod(name, instances));
  if (RequestScope::Current() == nullptr) return NothingToKeepFor(method->origin->method);
  return Submit([this, name, instances = std::move(instances),
                 residents = std::move(residents)]() mutable -> SubmittedCall::Outcome {
    return RunAndKeep(name, std::move(instances), residents, /*held=*/nullptr);
  });
}

Result<std::shared_ptr<PendingCall>> Servable::Impl::Submit(SubmittedCall::Work work) {
  RequestArena* const arena = RequestScope::Current();
  const auto call = std::make_shared<SubmittedCall>(arena, std::move(work));
  if (arena != nullptr) PIPESERVE_RETURN_IF_ERROR(arena->AddCall(call));
  if (CallPool::OnPoolThread()) {
    call->Run();
  } else {
    PIPESERVE_RETURN_IF_ERROR(calls_.Submit(call));
  }
  return std::shared_ptr<PendingCall>(call);
}

Result<std::unique_ptr<Servable>> Servable::Create(ServableSpec spec,
                                                   std::shared_ptr<Executor> executor,
                                                   const SchedulerOptions& options) {
  PIPESERVE_RETURN_IF_ERROR(CheckOptions(options));
  PIPESERVE_RETURN_IF_ERROR(CheckTimeouts(spec.methods));
  PIPESERVE_RETURN_IF_ERROR(CheckTimeouts(spec.pipelines));
  const std::vector<GraphSignature> signatures = SignaturesOf(*executor);
  PIPESERVE_RETURN_IF_ERROR(CheckServable(spec, signatures));
  PIPESERVE_ASSIGN_OR_RETURN(BatchLayout layout, BatchLayout::Create(spec, signatures));
  auto impl =
      std::make_unique<Impl>(std::move(spec), std::move(executor), std::move(layout), options);
  PIPESERVE_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<Servable>(new Servable(std::move(impl)));
}

Servable::Servable(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Servable::~Servable() { Stop(); }

Buffer Servable::MakeRoom(size_t bytes) const { return impl_->executor().MakeRoom(bytes); }

const ServableSpec& Servable::spec() const { return impl_->spec(); }

const Servable::Signature* Servable::FindCallable(const std::string& name) const {
  return impl_->FindCallable(name);
}

std::vector<std::string> Servable::CallableNames() const { return impl_->CallableNames(); }

void Servable::Submit(const std::string& callable, std::vector<Instance> instances,
                      RequestInfo info, Done done) {
  impl_->Submit(callable, std::move(instances), std::move(info), std::move(done));
}

Result<Instance> Servable::RunRequest(const std::string& callable, Instance inputs,
                                      RequestInfo info) {
  return impl_->RunRequest(callable, std::move(inputs), std::move(info));
}

Result<std::vector<Result<Instance>>> Servable::RunMethod(const std::string& method,
                                                          std::vector<Instance> instances,
                                                          const ResidentTensors& residents,
                                                          HostLock* held) {
  return impl_->RunMethod(method, std::move(instances), residents, held);
}

Result<std::vector<Result<ResidentTensors>>> Servable::RunAndKeep(const std::string& method,
                                                                  std::vector<Instance> instances,
                                                                  const ResidentTensors& residents,
                                                                  HostLock* held) {
  return impl_->RunAndKeep(method, std::move(instances), residents, held);
}

Result<std::shared_ptr<PendingCall>> Servable::SubmitMethod(const std::string& method,
                                                            std::vector<Instance> instances,
                                                            ResidentTensors residents) {
  return impl_->SubmitMethod(method, std::move(instances), std::move(residents));
}

Result<std::shared_ptr<PendingCall>> Servable::SubmitAndKeep(const std::string& method,
                                                             std::vector<Instance> instances,
                                                             ResidentTensors residents) {
  return impl_->SubmitAndKeep(method, std::move(instances), std::move(residents));
}

Status Servable::WarmUp(bool runs_graphs, std::shared_ptr<CancelToken> cancel) {
  return impl_->WarmUp(runs_graphs, std::move(cancel));
}

void Servable::GiveUpAll(const Status& reason) { impl_->GiveUpAll(reason); }

size_t Servable::waiting() const { return impl_->waiting(); }

int Servable::max_inflight() const { return impl_->max_inflight(); }

void Servable::Stop() { impl_->Stop(); }

}  // namespace pipeserve
