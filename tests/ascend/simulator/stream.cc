#include "stream.h"

#include <sstream>
#include <utility>

#include "core.h"

namespace pipeserve::ascend::sim {
namespace {

constexpr int32_t kTaskFailed = 507015;  // A fault of an AI core.
constexpr std::chrono::microseconds kLongestDelay(1'000);

const char* Verb(Use use) { return use == Use::kRead ? "reads" : "writes"; }

}  // namespace

StreamObject::StreamObject(Core& core, std::shared_ptr<ContextObject> context, StreamId id)
    : Object(kKind), core_(core), context_(std::move(context)), id_(id) {}

StreamObject::~StreamObject() {
  if (thread_.joinable()) thread_.detach();  // Only at the end of a process that left it.
}

void StreamObject::Start() {
  // The thread keeps the stream, which is destroyed by a caller while the thread still ends.
  thread_ = std::thread([self = shared_from_this()] { self->Run(); });
}

uint64_t StreamObject::Enqueue(Task task) {
  ++enqueued_;
  Merge(clock_, core_.host_clock);
  CheckOrder(task);
  clock_[id_] = enqueued_;
  queue_.push_back(std::move(task));
  core_.changed.notify_all();
  return enqueued_;
}

void StreamObject::CheckOrder(const Task& task) {
  for (const Range& range : task.ranges) {
    if (range.size == 0) continue;
    const Access access = {range.begin,  range.begin + range.size, range.use, id_, enqueued_,
                           task.function};
    range.block->Settle(core_.host_clock);
    if (const Access* const other = range.block->FindConflict(access, clock_)) {
      std::ostringstream text;
      text << task.function << " on stream " << id_ << ' ' << Verb(access.use) << " what "
           << other->function << " on stream " << other->stream << ' ' << Verb(other->use)
           << ", and nothing orders the two; enqueued by " << task.origin.Text();
      const bool workspace = access.use == Use::kWorkspace && other->use == Use::kWorkspace;
      core_.Break(workspace ? "N2" : "S1", text.str());
    }
    range.block->Note(access);
  }
}

void StreamObject::Demand(uint64_t task) {
  if (task <= demanded_) return;
  demanded_ = task;
  core_.changed.notify_all();
}

bool StreamObject::Await(Lock& lock, uint64_t task, int32_t milliseconds) {
  Demand(task);
  const auto passed = [&] { return done_ >= task || abandoned_; };
  if (milliseconds < 0) {
    core_.changed.wait(lock, passed);
    return true;
  }
  return core_.changed.wait_for(lock, std::chrono::milliseconds(milliseconds), passed);
}

int32_t StreamObject::TakeFailure(std::string* text) {
  if (context_->failed != 0) {
    *text =
        failure_text_.empty() ? "a task on another stream of the context failed" : failure_text_;
    return context_->failed;
  }
  *text = failure_text_;
  failure_text_.clear();
  return std::exchange(failure_, 0);
}

void StreamObject::Abandon(Lock& lock) {
  abandoned_ = true;
  core_.changed.notify_all();
  if (!thread_.joinable()) return;
  lock.unlock();
  thread_.join();
  lock.lock();
}

void StreamObject::Run() {
  Lock lock(core_.mutex);
  while (!abandoned_) {
    const uint64_t limit = core_.settings.mode == Mode::kLazy ? demanded_ : enqueued_;
    if (done_ >= limit) {
      core_.changed.wait(lock);
      continue;
    }
    const Task task = std::move(queue_.front());
    queue_.pop_front();
    if (const int32_t code = RunTask(lock, task)) NoteFailure(task, code);
    ++done_;
    core_.changed.notify_all();
  }
  queue_.clear();
}

int32_t StreamObject::RunTask(Lock& lock, const Task& task) {
  if (core_.settings.mode == Mode::kRandom) Delay(lock);
  if (context_->failed != 0 || abandoned_) return 0;
  if (!task.is_work) return task.run(lock);
  const std::optional<int32_t> fault = core_.faults.NextTask();
  if (fault == kHang) {
    const uint64_t hang = ++core_.hangs;
    core_.changed.wait(lock, [&] { return core_.hangs_ended >= hang || abandoned_; });
  } else if (fault.has_value()) {
    if (task.fail != nullptr) task.fail();
    return *fault == kUsualCode ? kTaskFailed : *fault;
  }
  const int32_t code = task.run(lock);
  if (code == 0 && core_.faults.NextResult(task.function)) Corrupt(task);
  return code;
}

// Another exponent in the last number that it wrote, if that is a float.
void StreamObject::Corrupt(const Task& task) {
  constexpr std::byte kBit{0x40};
  for (const Range& range : task.ranges) {
    if (range.use != Use::kWrite || range.size == 0) continue;
    range.block->data[range.begin - range.block->address + range.size - 1] ^= kBit;
  }
}

void StreamObject::Delay(Lock& lock) {
  const std::chrono::microseconds delay(core_.random() % kLongestDelay.count());
  core_.changed.wait_for(lock, delay, [&] { return abandoned_.load(); });
}

void StreamObject::NoteFailure(const Task& task, int32_t code) {
  if (abandoned_) return;
  failure_ = code;
  failure_text_ = std::string("a task of ") + task.function + " failed with " +
                  std::to_string(code) + ", enqueued by " + task.origin.Text();
  if (stop_on_failure) context_->failed = code;
}

}  // namespace pipeserve::ascend::sim
