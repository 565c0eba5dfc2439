// A few threads that share the work of one large kernel.
#pragma once

#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace pipeserve {

// Thread-safe. When several callers come at once, one gets the helpers and the others work alone.
// Only as many helpers wake as there are ranges.
class ThreadTeam {
 public:
  // `threads` counts the caller's own; with 1 there are no helpers and no cost. There are fewer
  // when the system gives no more.
  explicit ThreadTeam(int threads);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const { return static_cast<int>(helpers_.size()) + 1; }

  // Calls body(begin, end, member) for ranges that together cover [0, total), each on one member
  // in [0, size()), and returns when all are done. A range holds at least `grain` items unless it
  // is the last; `body` must not throw.
  template <typename Body>
  void For(int64_t total, int64_t grain, const Body& body) {
    if (helpers_.empty() || total <= grain) {
      body(int64_t{0}, total, 0);
      return;
    }
    const Job job{[](const void* context, int64_t begin, int64_t end, int member) {
                    (*static_cast<const Body*>(context))(begin, end, member);
                  },
                  &body, total, RangeSize(total, grain)};
    if (!Share(job)) body(int64_t{0}, total, 0);
  }

 private:
  struct Job {
    void (*run)(const void* context, int64_t begin, int64_t end, int member) = nullptr;
    const void* context = nullptr;
    int64_t total = 0;
    int64_t range = 0;
  };

  int64_t RangeSize(int64_t total, int64_t grain) const;
  static void RunMember(const Job& job, int member);
  // False when another caller has the helpers.
  bool Share(const Job& job) EXCLUDES(mutex_);
  void Help(int member) EXCLUDES(mutex_);

  struct Signal {
    CondVar work;
    bool called = false;  // Guarded by the team's mutex.
  };

  Mutex mutex_;
  CondVar done_;
  const std::unique_ptr<Signal[]> signals_;  // Indexed by member; the caller's own is not used.
  Job job_ GUARDED_BY(mutex_);
  size_t running_ GUARDED_BY(mutex_) = 0;  // Helpers that have not finished the job.
  bool busy_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
  std::vector<std::jthread> helpers_;  // Last, so they are joined before what they read goes.
};

}  // namespace pipeserve
