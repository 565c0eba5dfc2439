#include "executor/cpu/thread_team.h"

#include <algorithm>
#include <system_error>

#include "base/check.h"

namespace pipeserve {

ThreadTeam::ThreadTeam(int threads) : signals_(new Signal[static_cast<size_t>(threads)]) {
  PIPESERVE_DCHECK(threads >= 1);
  try {
    for (int member = 1; member < threads; ++member) {
      helpers_.emplace_back([this, member] { Help(member); });
    }
  } catch (const std::system_error&) {  // What has started is enough to go on.
  }
}

ThreadTeam::~ThreadTeam() {
  {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  for (size_t i = 1; i <= helpers_.size(); ++i) signals_[i].work.NotifyOne();
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
  const auto called = static_cast<size_t>((job.total - 1) / job.range);
  {
    MutexLock lock(mutex_);
    if (busy_) return false;
    busy_ = true;
    job_ = job;
    running_ = called;
    for (size_t i = 1; i <= called; ++i) signals_[i].called = true;
  }
  for (size_t i = 1; i <= called; ++i) signals_[i].work.NotifyOne();
  RunMember(job, 0);
  MutexLock lock(mutex_);
  while (running_ > 0) done_.Wait(mutex_);
  busy_ = false;
  return true;
}

void ThreadTeam::Help(int member) {
  while (true) {
    Job job;
    {
      MutexLock lock(mutex_);
      Signal& signal = signals_[static_cast<size_t>(member)];
      while (!closed_ && !signal.called) signal.work.Wait(mutex_);
      if (closed_) return;
      signal.called = false;
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
