#include "bindings/process.h"

#include <pthread.h>
#include <unistd.h>

#include <string>

#include "bindings/errors.h"
#include "bindings/housekeeper.h"

namespace pipeserve::bindings {
namespace {

// 0: it never ran. What gRPC keeps for the whole process does not survive a fork.
std::atomic<int> grpc_process{0};

// A thread that is gone may have held the locks of what it used last.
void BeginInChild() {
  fork_count.fetch_add(1, std::memory_order_relaxed);
  Housekeeper::Renew();
  RenewTurnstile();
}

}  // namespace

void WatchForks() { pthread_atfork(nullptr, nullptr, &BeginInChild); }

Birthplace::Birthplace() : forks_(fork_count.load(std::memory_order_relaxed)), process_(getpid()) {}

void Birthplace::RaiseForked(const char* what) const {
  Raise(FailedPrecondition("this " + std::string(what) + " was made by process " +
                           std::to_string(process_) + " and cannot be used in process " +
                           std::to_string(getpid()) +
                           ", which was forked from it: make a new one here, or start processes "
                           "with the method \"spawn\""));
}

void EnterGrpc() {
  const int self = getpid();
  int runs_in = 0;
  if (grpc_process.compare_exchange_strong(runs_in, self) || runs_in == self) return;
  Raise(FailedPrecondition("gRPC ran in process " + std::to_string(runs_in) + " when process " +
                           std::to_string(self) +
                           " was forked from it, and cannot run here: start processes with the "
                           "method \"spawn\", or before the first server or client"));
}

}  // namespace pipeserve::bindings
