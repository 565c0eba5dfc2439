// A submitted call of a request, in the worker that runs the request's function.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "workers/session_talk.h"

namespace pipeserve {

// Thread-safe. What the front says of it is kept once it is done.
class RemoteCall final : public PendingCall {
 public:
  RemoteCall(std::shared_ptr<SessionTalk> session, uint64_t number, bool keep)
      : session_(std::move(session)), request_(session_->request()), number_(number), keep_(keep) {}

  bool done() const override { return WaitFor({}); }
  bool running() const override;
  bool WaitFor(std::chrono::nanoseconds timeout) const override;
  const Result<Results>& result() const override { return results_; }
  const Result<KeptResults>& kept() const override { return kept_; }
  bool Cancel() override;

 private:
  // How far it is, after at most `timeout`.
  CallState Ask(std::chrono::nanoseconds timeout) const EXCLUDES(mutex_);
  void End(Result<WorkerMessage> reply) const REQUIRES(mutex_);

  const std::shared_ptr<SessionTalk> session_;
  const uint64_t request_;
  const uint64_t number_;
  const bool keep_;
  // Not held while the front is asked.
  mutable Mutex mutex_;
  mutable std::atomic<bool> done_{false};
  // Written once, before done_ is set; then only read.
  mutable Result<Results> results_ = Internal("the call is not done");
  mutable Result<KeptResults> kept_ = Internal("the call is not done");
};

}  // namespace pipeserve
