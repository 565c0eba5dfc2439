// The thread that waits for the calls that a rank has begun, and answers them.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <utility>

#include "base/mutex.h"

namespace pipeserve {

// Used by one thread.
class AnswerThread {
 public:
  AnswerThread() : thread_([this] { Serve(); }) {}
  ~AnswerThread() {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
    }
    changed_.NotifyAll();
    thread_.join();
  }

  // Has the thread call `answer` after those before it. Never blocks: there are no more than calls
  // that the server waits for.
  void Add(std::function<void()> answer) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      answers_.push_back(std::move(answer));
    }
    changed_.NotifyAll();
  }

  // Returns when the thread has nothing left to do.
  void Drain() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (answering_ || !answers_.empty()) changed_.Wait(mutex_);
  }

 private:
  void Serve() EXCLUDES(mutex_) {
    while (const std::function<void()> next = Next()) next();
  }

  // Null at the end.
  std::function<void()> Next() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    answering_ = false;
    changed_.NotifyAll();
    while (answers_.empty() && !stopping_) changed_.Wait(mutex_);
    if (answers_.empty()) return nullptr;
    answering_ = true;
    std::function<void()> next = std::move(answers_.front());
    answers_.pop_front();
    return next;
  }

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> answers_ GUARDED_BY(mutex_);
  bool answering_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace pipeserve
