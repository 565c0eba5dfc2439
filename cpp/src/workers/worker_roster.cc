#include "workers/worker_roster.h"

#include <utility>

namespace pipeserve {
namespace {

// The connection of a process that is killed may break before the process is reaped.
constexpr std::chrono::seconds kReaping{2};

}  // namespace

Result<std::shared_ptr<Worker>> WorkerRoster::Take(CancelToken* cancelled) {
  const CancelListener listener(cancelled, [this] {
    MutexLock lock(mutex_);  // Else the one who waits may be just about to.
    changed_.NotifyAll();
  });
  MutexLock lock(mutex_);
  const uint64_t ticket = ++last_ticket_;
  waiting_.push_back(ticket);
  Status error;
  while (idle_.empty() || waiting_.front() != ticket) {
    if (cancelled != nullptr && cancelled->raised()) error = Cancelled("the request was given up");
    if (closed_ && workers_.empty()) error = Unavailable("the servable has no worker process left");
    if (!error.ok()) break;
    changed_.Wait(mutex_);
  }
  std::erase(waiting_, ticket);
  changed_.NotifyAll();
  if (!error.ok()) return error;
  std::shared_ptr<Worker> worker = std::move(idle_.front());
  idle_.pop_front();
  taken_.insert(worker->number);
  return worker;
}

void WorkerRoster::Return(std::shared_ptr<Worker> worker) {
  MutexLock lock(mutex_);
  const uint64_t number = worker->number;
  taken_.erase(number);
  if (ends_.erase(number) == 0) idle_.push_back(std::move(worker));
  changed_.NotifyAll();
}

std::string WorkerRoster::Discard(const std::shared_ptr<Worker>& worker, bool at_once) {
  if (at_once) worker->Kill();
  const Deadline deadline = Deadline::After(kReaping);
  MutexLock lock(mutex_);
  while (!ends_.contains(worker->number)) {
    if (!changed_.WaitUntil(mutex_, deadline)) break;
  }
  worker->Kill();  // Does nothing to a process that has ended.
  const auto found = ends_.find(worker->number);
  std::string how = found == ends_.end() ? "ended its connection" : found->second;
  ends_.erase(worker->number);
  taken_.erase(worker->number);
  workers_.erase(worker->number);
  changed_.NotifyAll();
  return how;
}

Result<uint64_t> WorkerRoster::Add(WorkerChannel channel, FileDescriptor process) {
  auto worker = std::make_shared<Worker>(std::move(channel), std::move(process));
  MutexLock lock(mutex_);
  if (closed_) return Unavailable("the servable stops and takes no more worker processes");
  worker->number = ++last_number_;
  workers_.emplace(worker->number, worker);
  idle_.push_back(worker);
  changed_.NotifyAll();
  return worker->number;
}

void WorkerRoster::Remove(uint64_t number, const std::string& how) {
  MutexLock lock(mutex_);
  if (taken_.contains(number)) ends_.emplace(number, how);
  workers_.erase(number);
  std::erase_if(idle_, [number](const auto& worker) { return worker->number == number; });
  changed_.NotifyAll();
}

void WorkerRoster::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  changed_.NotifyAll();
}

void WorkerRoster::EndWorkers() {
  MutexLock lock(mutex_);
  for (const auto& [number, worker] : workers_) worker->channel.Shutdown();
  idle_.clear();
}

void WorkerRoster::AddStep(const std::string& method) {
  MutexLock lock(mutex_);
  methods_with_steps_.insert(method);
}

bool WorkerRoster::HasStep(const std::string& method) const {
  MutexLock lock(mutex_);
  return methods_with_steps_.contains(method);
}

}  // namespace pipeserve
