// A stream of the simulated device: a thread that works off a queue.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "block.h"
#include "clock.h"
#include "objects.h"

namespace pipeserve::ascend::sim {

struct Core;
class StreamObject;
using Lock = std::unique_lock<std::mutex>;

struct ContextObject final : Object {
  static constexpr Kind kKind = Kind::kContext;
  ContextObject(int32_t on, bool made_by_set_device)
      : Object(kKind), device(on), is_default(made_by_set_device) {}

  const int32_t device;
  const bool is_default;
  int32_t failed = 0;  // What stopped all its streams.
  std::shared_ptr<StreamObject> default_stream;
};

// What the host may wait for: that a stream has passed its `task`.
struct Point {
  std::shared_ptr<StreamObject> stream;
  uint64_t task = 0;
};

struct EventObject final : Object {
  static constexpr Kind kKind = Kind::kEvent;
  EventObject(std::shared_ptr<ContextObject> in, bool ex_event, uint32_t with_flags)
      : Object(kKind), context(std::move(in)), ex(ex_event), flags(with_flags) {}

  const std::shared_ptr<ContextObject> context;
  const bool ex;
  const uint32_t flags;
  Point recorded;            // Without a stream: never, or reset.
  Clock clock;               // What has happened when the record is passed.
  std::vector<Point> users;  // Tasks that record it, wait for it or reset it.
};

// Some bytes of a block.
struct Range {
  std::shared_ptr<Block> block;
  const std::byte* begin = nullptr;  // As callers see it.
  size_t size = 0;
  Use use = Use::kRead;
};

struct Task {
  const char* function = "";
  std::vector<Range> ranges;
  bool is_work = true;  // Else it only orders others: it cannot be made to fail.
  // Runs with the lock, which it may let go of to wait. Its result is an ACL code.
  std::function<int32_t(Lock&)> run;
  // Called instead when the task is told to fail; may be null.
  std::function<void()> fail;
  Origin origin = Origin::Here();
};

class StreamObject final : public Object, public std::enable_shared_from_this<StreamObject> {
 public:
  static constexpr Kind kKind = Kind::kStream;

  StreamObject(Core& core, std::shared_ptr<ContextObject> context, StreamId id);
  ~StreamObject() override;
  void Start();

  // All with the core's lock.

  // Takes the task in, and checks that it comes after all it must come after. Its number.
  uint64_t Enqueue(Task task);
  // Waits until `task` is passed. False when it takes longer than `milliseconds`; -1 is for ever.
  bool Await(Lock& lock, uint64_t task, int32_t milliseconds);
  // The code of the failure since the last call; 0 without one.
  int32_t TakeFailure(std::string* text);
  // Ends the thread: what is queued is dropped, what hangs is let go.
  void Abandon(Lock& lock);

  // A lazy stream works up to `task`.
  void Demand(uint64_t task);
  bool IsPassed(uint64_t task) const { return done_ >= task; }
  uint64_t enqueued() const { return enqueued_; }
  uint64_t running() const { return done_ + 1; }

  const std::shared_ptr<ContextObject>& context() const { return context_; }
  StreamId id() const { return id_; }
  Clock& clock() { return clock_; }
  // Without the lock, too.
  bool is_abandoned() const { return abandoned_; }
  bool stop_on_failure = false;

 private:
  void Run();
  int32_t RunTask(Lock& lock, const Task& task);
  void Delay(Lock& lock);
  void Corrupt(const Task& task);
  void NoteFailure(const Task& task, int32_t code);
  void CheckOrder(const Task& task);

  Core& core_;
  const std::shared_ptr<ContextObject> context_;
  const StreamId id_;
  Clock clock_;  // What has happened when all that is queued is done.
  std::deque<Task> queue_;
  uint64_t enqueued_ = 0;
  uint64_t done_ = 0;
  uint64_t demanded_ = 0;
  int32_t failure_ = 0;
  std::string failure_text_;
  std::atomic<bool> abandoned_ = false;
  std::thread thread_;
};

}  // namespace pipeserve::ascend::sim
