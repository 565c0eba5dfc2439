#include "server/distributed_servable.h"

#include <chrono>
#include <utility>

#include "agent/rank_table.h"
#include "base/str_cat.h"
#include "pipeserve/log.h"

namespace pipeserve {
namespace {

// How long the waiter looks at one thing before it looks whether it shall stop.
constexpr std::chrono::milliseconds kStep{100};
constexpr std::chrono::milliseconds kShortestHeartbeat{10};
constexpr std::chrono::hours kLongestTime{24};

Status CheckTimes(const DistributedServableOptions& options) {
  if (options.heartbeat < kShortestHeartbeat) {
    return InvalidArgument(StrCat("heartbeat is ", options.heartbeat.count(),
                                  " ms, wanted at least ", kShortestHeartbeat.count(), " ms"));
  }
  if (options.dead_after <= options.heartbeat || options.dead_after > kLongestTime) {
    return InvalidArgument(StrCat("dead_after is ", options.dead_after.count(),
                                  " ms, wanted more than the heartbeat of ",
                                  options.heartbeat.count(), " ms and at most a day"));
  }
  if (options.failover_timeout.count() < 0 || options.failover_timeout > kLongestTime) {
    return InvalidArgument(
        StrCat("failover_timeout is ", options.failover_timeout.count(), " ms, wanted 0 to a day"));
  }
  return OkStatus();
}

Result<RankTable> RankTableOf(const DistributedServableOptions& options) {
  if (!options.rank_table_file.empty()) return ReadRankTable(options.rank_table_file);
  return RankTable{.ranks = {{.ip = "127.0.0.1", .device_id = 0}}, .content = ""};
}

Result<std::unique_ptr<AgentHub>> OpenHub(const ServableSpec& spec,
                                          const DistributedServableOptions& options) {
  PIPESERVE_RETURN_IF_ERROR(CheckTimes(options));
  AgentHubOptions hub;
  PIPESERVE_ASSIGN_OR_RETURN(hub.rank_table, RankTableOf(options));
  PIPESERVE_RETURN_IF_ERROR(CheckRankTable(hub.rank_table, options.rank_size, options.stage_size,
                                           options.rank_table_file));
  hub.servable_name = spec.name;
  hub.version = spec.version;
  hub.stage_size = options.stage_size;
  hub.with_batch_dim = spec.with_batch_dim;
  hub.without_batch_dim_inputs = spec.without_batch_dim_inputs;
  hub.address = options.address;
  hub.ssl = options.agents_ssl;
  hub.token = options.agent_token;
  hub.call_timeout = options.call_timeout;
  hub.heartbeat = options.heartbeat;
  hub.dead_after = options.dead_after;
  hub.failover_timeout = options.failover_timeout;
  hub.lane = options.lane;
  hub.wait_for_all = options.wait_for_all;
  return AgentHub::Create(hub);
}

}  // namespace

Result<std::unique_ptr<DistributedServable>> DistributedServable::Start(
    const ServableSpec& spec, const DistributedServableOptions& options,
    const SchedulerOptions& scheduler, VersionTable* versions) {
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<AgentHub> hub, OpenHub(spec, options));
  return std::unique_ptr<DistributedServable>(
      new DistributedServable(spec, options, scheduler, versions, std::move(hub)));
}

DistributedServable::DistributedServable(ServableSpec spec,
                                         const DistributedServableOptions& options,
                                         const SchedulerOptions& scheduler, VersionTable* versions,
                                         std::unique_ptr<AgentHub> hub)
    : spec_(std::move(spec)),
      scheduler_(scheduler),
      versions_(*versions),
      hub_(std::move(hub)),
      warm_up_(options.warm_up),
      on_agent_lost_(options.on_agent_lost),
      state_(DeadlineExceeded(StrCat("servable ", spec_.name, ": no agent has registered yet"))),
      waiter_([this] { Run(); }) {}

DistributedServable::~DistributedServable() { Stop(); }

Status DistributedServable::WaitReady(Deadline deadline) {
  const Status state = WaitForNews(deadline);
  if (state.code() != StatusCode::kDeadlineExceeded) return state;
  // The hub counts the agents at this moment. When all are there, serving is about to begin.
  const Status group = hub_->WaitReady(Deadline::After({})).status();
  return group.ok() ? state : group;
}

Status DistributedServable::WaitForNews(Deadline deadline) {
  MutexLock lock(mutex_);
  while (true) {
    if (stopping_) return Cancelled(StrCat("servable ", spec_.name, " has been stopped"));
    // Agents that are missing may still come; everything else is an answer.
    if (state_.code() != StatusCode::kDeadlineExceeded) return state_;
    if (!changed_.WaitUntil(mutex_, deadline)) return state_;
  }
}

void DistributedServable::Describe(ServableState* state) {
  state->group = hub_->state();
  if (state->state == "READY" || state->state == "UNLOADING") return;
  MutexLock lock(mutex_);
  state->state = has_served_ ? "UNAVAILABLE" : "LOADING";
  state->reason = state_.message();
}

void DistributedServable::Stop() {
  MutexLock stop_lock(stop_mutex_);  // A second caller waits for the first.
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  warm_up_cancel_->Raise();
  if (waiter_.joinable()) waiter_.join();
  hub_->Stop();
}

void DistributedServable::Run() {
  while (!stopping()) {
    Result<std::shared_ptr<Executor>> group = hub_->WaitReady(Deadline::After(kStep));
    if (group.ok()) {
      Run(*std::move(group));
      continue;
    }
    SetState(group.status());
    // Whatever failed may be repaired by agents that come back.
    if (group.status().code() != StatusCode::kDeadlineExceeded && WaitForStop()) return;
  }
}

void DistributedServable::Run(std::shared_ptr<Executor> group) {
  Result<std::unique_ptr<Servable>> created = Servable::Create(spec_, std::move(group), scheduler_);
  if (!created.ok()) {
    SetState(created.status());
    WaitForStop();
    return;
  }
  const std::shared_ptr<Servable> servable = *std::move(created);
  const uint64_t epoch = hub_->ready_epoch();
  versions_.Bind(spec_.name, spec_.version, servable);
  SetState(DeadlineExceeded(
      StrCat("servable ", spec_.name, ": all agents are there, it is being warmed up")));
  const Status warm = servable->WarmUp(warm_up_, warm_up_cancel_);
  if (warm.ok()) {
    Serve(servable.get(), epoch);
  } else {
    SetState(warm);
    servable->Stop();
    // Other agents may do better.
    while (hub_->ready_epoch() == epoch && !WaitForStop()) {
    }
  }
  versions_.Bind(spec_.name, spec_.version, nullptr);
}

void DistributedServable::Serve(Servable* servable, uint64_t first_epoch) {
  versions_.Publish(spec_.name, spec_.version, [hub = hub_] { return hub->available(); });
  uint64_t epoch = first_epoch;
  do {
    epoch = hub_->ready_epoch();
    SetState(epoch != 0 ? OkStatus()
                        : DeadlineExceeded(
                              StrCat("servable ", spec_.name, ": the group of agents is lost")));
    // Agents that were lost and are back by now have been lost all the same.
    if (on_agent_lost_ && epoch != first_epoch) break;
  } while (!WaitForStop());
  // What waits for agents would hold up the rest.
  if (epoch == 0 || !stopping()) hub_->Stop();
  servable->Stop();  // Before it is taken back: a pipeline that has begun may still call methods.
  if (stopping()) return;
  versions_.Bind(spec_.name, spec_.version, nullptr);
  Log(LogLevel::kError, "Predict error happened, now exit distributed servable",
      {{"servable", spec_.name}});
  on_agent_lost_();
  while (!WaitForStop()) {
  }
}

void DistributedServable::SetState(Status state) {
  bool news = false;
  {
    MutexLock lock(mutex_);
    news = state_ != state && !stopping_;
    has_served_ = has_served_ || state.ok();
    state_ = state;
  }
  changed_.NotifyAll();
  if (!news || state.code() == StatusCode::kDeadlineExceeded) return;
  if (state.ok()) {
    Log(LogLevel::kInfo, "distributed servable is available", {{"servable", spec_.name}});
  } else {
    Log(LogLevel::kError, "distributed servable is not available",
        {{"servable", spec_.name}, {"error", state.message()}});
  }
}

bool DistributedServable::WaitForStop() {
  const Deadline deadline = Deadline::After(kStep);
  MutexLock lock(mutex_);
  while (!stopping_) {
    if (!changed_.WaitUntil(mutex_, deadline)) break;
  }
  return stopping_;
}

bool DistributedServable::stopping() {
  MutexLock lock(mutex_);
  return stopping_;
}

}  // namespace pipeserve
