#include "pipeserve/worker_pool.h"

#include <utility>

#include "workers/worker_function.h"
#include "workers/worker_roster.h"

namespace pipeserve {

WorkerPool::WorkerPool(MethodHost& host, WorkerPoolOptions options)
    : roster_(std::make_shared<WorkerRoster>(host, std::move(options))) {}

WorkerPool::~WorkerPool() {
  Close();
  EndWorkers();
}

std::shared_ptr<HostFunction> WorkerPool::Function(std::string key, std::string name,
                                                   std::string method) {
  if (!method.empty()) roster_->AddStep(method);
  return std::make_shared<WorkerFunction>(roster_, std::move(key), std::move(name));
}

Result<uint64_t> WorkerPool::Add(int socket_fd, int process_fd) {
  FileDescriptor process(process_fd);
  PIPESERVE_ASSIGN_OR_RETURN(WorkerChannel channel, WorkerChannel::Open(socket_fd));
  return roster_->Add(std::move(channel), std::move(process));
}

void WorkerPool::Remove(uint64_t worker, const std::string& how) { roster_->Remove(worker, how); }

void WorkerPool::Close() { roster_->Close(); }

void WorkerPool::EndWorkers() { roster_->EndWorkers(); }

}  // namespace pipeserve
