#include "scheduler/call_pool.h"

#include <system_error>
#include <utility>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

thread_local bool on_pool_thread = false;

Status Stopped() { return Unavailable("servable is not available"); }

}  // namespace

bool CallPool::OnPoolThread() { return on_pool_thread; }

Status CallPool::Submit(std::shared_ptr<SubmittedCall> call) {
  {
    MutexLock lock(mutex_);
    if (stopped_) return Stopped();
    if (threads_.empty()) PIPESERVE_RETURN_IF_ERROR(StartThreads());
  }
  if (queue_.TryPush(call)) return OkStatus();
  MutexLock lock(mutex_);
  if (stopped_) return Stopped();
  return ResourceExhausted(StrCat("submitted calls that wait exceed the limit ", kCapacity));
}

Status CallPool::StartThreads() {
  try {
    while (static_cast<int>(threads_.size()) < thread_count_) {
      threads_.emplace_back([this] { Serve(); });
    }
  } catch (const std::system_error& error) {
    // With some threads it works, if slower.
    if (threads_.empty()) {
      return ResourceExhausted(StrCat("cannot start a thread for calls: ", error.what()));
    }
  }
  return OkStatus();
}

void CallPool::Serve() {
  on_pool_thread = true;
  while (const auto call = queue_.Pop()) (*call)->Run();
}

void CallPool::Stop() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    threads = std::exchange(threads_, {});
  }
  queue_.Close();
  while (const auto call = queue_.Pop()) (*call)->Abandon(Stopped());
  for (std::thread& thread : threads) thread.join();
}

}  // namespace pipeserve
