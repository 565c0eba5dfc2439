#include "executor/cpu/thread_team.h"

#include <algorithm>

#include "base/check.h"

namespace pipeserve {

ThreadTeam::ThreadTeam(int threads) {
  PIPESERVE_DCHECK(threads >= 1);
  for (int member = 1; member < threads; ++member) {
    helpers_.emplace_back([this, member] { Help(member); });
  }
}

ThreadTeam::~ThreadTeam() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  work_.NotifyAll();
}

int64_t ThreadTeam::RangeSize(int64_t total, int64_t grain) const {
  return std::max(grain, (total + size() - 1) / size());
}

void ThreadTeam::RunMember(const Job& job, int member) {
  const int64_t begin = job.range * member;
  if (begin < job.total) {
    job.run(job.context, begin, std::min(begin + job.range, job.total), member);
  }
}

bool ThreadTeam::Share(const Job& job) {
  {
    MutexLock lock(mutex_);
    if (busy_) return false;
    busy_ = true;
    job_ = job;
    running_ = helpers_.size();
    ++round_;
  }
  work_.NotifyAll();
  RunMember(job, 0);
  MutexLock lock(mutex_);
  while (running_ > 0) done_.Wait(mutex_);
  busy_ = false;
  return true;
}

void ThreadTeam::Help(int member) {
  uint64_t seen = 0;
  while (true) {
    Job job;
    {
      MutexLock lock(mutex_);
      while (!closed_ && round_ == seen) work_.Wait(mutex_);
      if (closed_) return;
      seen = round_;
      job = job_;
    }
    RunMember(job, member);
    bool last = false;
    {
      MutexLock lock(mutex_);
      last = --running_ == 0;
    }
    if (last) done_.NotifyOne();
  }
}

}  // namespace pipeserve
