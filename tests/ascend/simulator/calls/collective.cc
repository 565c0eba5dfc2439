// AllReduce and AllGather.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "calls.h"
#include "comm.h"
#include "elements.h"
#include "memory_check.h"
#include "products.h"

namespace pipeserve::ascend::sim::calls {
namespace {

enum class Operation : int32_t { kAllReduce = 1, kAllGather };

AclDataType ElementOf(HcclDataType type) {
  switch (type) {
    case HcclDataType::kInt8:
      return AclDataType::kInt8;
    case HcclDataType::kInt16:
      return AclDataType::kInt16;
    case HcclDataType::kInt32:
      return AclDataType::kInt32;
    case HcclDataType::kFloat16:
      return AclDataType::kFloat16;
    case HcclDataType::kFloat:
      return AclDataType::kFloat;
    case HcclDataType::kInt64:
      return AclDataType::kInt64;
    case HcclDataType::kUint64:
      return AclDataType::kUint64;
    case HcclDataType::kUint8:
      return AclDataType::kUint8;
    case HcclDataType::kUint16:
      return AclDataType::kUint16;
    case HcclDataType::kUint32:
      return AclDataType::kUint32;
    case HcclDataType::kDouble:
      return AclDataType::kDouble;
  }
  return AclDataType::kUndefined;
}

// One collective, as it is queued.
struct Collective {
  std::shared_ptr<CommObject> comm;
  std::shared_ptr<StreamObject> stream;
  Operation operation;
  AclDataType type;
  uint64_t count;  // That this rank sends.
  const std::byte* send;
  std::byte* receive;
  Signature signature;
  const char* function;
  Origin origin;

  size_t bytes() const { return count * SizeOf(type); }
};

// Sums in float and in the order of the ranks, so that all get the same bits.
void Sum(const Collective& work, bool reverse, size_t count, std::byte* to) {
  const Meeting& meeting = *work.comm->meeting;
  const size_t size = SizeOf(work.type);
  for (size_t i = 0; i < count; ++i) {
    float real = 0;
    uint64_t integer = 0;
    for (uint32_t each = 0; each < meeting.ranks(); ++each) {
      const uint32_t rank = reverse ? meeting.ranks() - 1 - each : each;
      const std::byte* const from = meeting.slot(rank) + i * size;
      if (IsReal(work.type)) {
        const auto value = static_cast<float>(LoadReal(work.type, from));
        real = each == 0 ? value : real + value;
      } else {
        integer += static_cast<uint64_t>(LoadInteger(work.type, from));
      }
    }
    if (IsReal(work.type)) {
      StoreReal(work.type, to + i * size, real);
    } else {
      StoreInteger(work.type, to + i * size, static_cast<int64_t>(integer));
    }
  }
}

// What a rank that calls something else breaks.
bool SignaturesAgree(Core& core, const Collective& work) {
  const Meeting& meeting = *work.comm->meeting;
  for (uint32_t rank = 0; rank < meeting.ranks(); ++rank) {
    const Signature& other = meeting.signature(rank);
    if (other == work.signature) continue;
    const auto text = [](const Signature& signature) {
      return Text("call ", signature.sequence, ": operation ", signature.operation, ", count ",
                  signature.count, ", type ", signature.type, ", reduction ", signature.reduce);
    };
    core.Break("H2", Text("rank ", work.comm->rank, " calls ", text(work.signature), "; rank ",
                          rank, " calls ", text(other), "; called by ", work.origin.Text()));
    return false;
  }
  return true;
}

// Waits for the other ranks, without the lock.
Met Meet(Core& core, const Collective& work, Lock& lock) {
  const std::chrono::milliseconds limit(core.settings.exec_ms);
  lock.unlock();
  const Met met = work.comm->meeting->Meet(limit, [&] { return work.stream->is_abandoned(); });
  lock.lock();
  return met;
}

// One round: as much of the data as the slots hold.
Met Exchange(Core& core, const Collective& work, size_t begin, size_t bytes, Lock& lock) {
  const Meeting& meeting = *work.comm->meeting;
  const size_t total = work.bytes();
  meeting.signature(work.comm->rank) = work.signature;
  if (bytes > 0) {
    std::memcpy(meeting.slot(work.comm->rank), core.device_memory.View(work.send) + begin, bytes);
  }
  if (const Met met = Meet(core, work, lock); met != Met::kAll) return met;
  const bool agree = SignaturesAgree(core, work);
  if (agree && bytes > 0 && work.operation == Operation::kAllReduce) {
    Sum(work, core.settings.reverse_sums, bytes / SizeOf(work.type),
        core.device_memory.View(work.receive) + begin);
  }
  for (uint32_t rank = 0;
       agree && bytes > 0 && work.operation == Operation::kAllGather && rank < meeting.ranks();
       ++rank) {
    std::memcpy(core.device_memory.View(work.receive) + rank * total + begin, meeting.slot(rank),
                bytes);
  }
  const Met met = Meet(core, work, lock);
  return agree ? met : Met::kFailed;
}

void ComeLateOrNever(Core& core, const Collective& work, Lock& lock) {
  if (core.settings.die_at != 0 && work.signature.sequence == core.settings.die_at) {
    std::_Exit(EXIT_FAILURE);
  }
  if (core.settings.hang_at != 0 && work.signature.sequence == core.settings.hang_at) {
    core.changed.wait(lock, [&] { return work.stream->is_abandoned(); });
  }
  const std::chrono::milliseconds delay(core.settings.slow_ms);
  core.changed.wait_for(lock, delay, [&] { return work.stream->is_abandoned(); });
}

// The host learns of it when it waits for the task.
void NoteFailure(const Collective& work) {
  if (work.comm->failed) return;
  work.comm->failed = true;
  work.comm->failed_by = {work.stream, work.stream->running()};
}

int32_t Run(Core& core, const Collective& work, Lock& lock) {
  ComeLateOrNever(core, work, lock);
  if (work.comm->failed) return codes::kTaskTimeout;
  if (work.bytes() > 0) {
    CheckWritten(core, work.function, work.send, work.bytes(), work.origin);
  }
  const size_t chunk = Meeting::kSlot;
  size_t begin = 0;
  do {
    const size_t bytes = std::min(chunk, work.bytes() - begin);
    if (Exchange(core, work, begin, bytes, lock) != Met::kAll) {
      NoteFailure(work);
      return codes::kTaskTimeout;
    }
    begin += bytes;
  } while (begin < work.bytes());
  const size_t received =
      work.bytes() * (work.operation == Operation::kAllGather ? work.comm->meeting->ranks() : 1);
  core.device_memory.MarkWritten(work.receive, received);
  return 0;
}

std::optional<Failure> CheckType(Call& call, HcclDataType type, Operation operation) {
  const Product product = ProductOf(call.core.settings.soc);
  const bool known = SizeOf(ElementOf(type)) > 0;
  const bool fits = operation == Operation::kAllGather ? known : ReducesType(product, type);
  if (fits && product != Product::k310B) return std::nullopt;
  return call.Break(
      "6", codes::kHcclNotSupported,
      Text(call.name(), " of type ", static_cast<int>(type), " on ", call.core.settings.soc));
}

// A task fails when it runs; until the host has waited for it, it cannot know, and enqueues more,
// which then fails as well.
bool IsKnown(const Core& core, const Point& failed_by) {
  return failed_by.stream == nullptr ||
         Covers(core.host_clock, failed_by.stream->id(), failed_by.task);
}

// A thread may be about to call while another one hears of the failure: it hears of it by the call.
bool IsNews(Core& core, const Point& failed_by) {
  if (failed_by.stream == nullptr) return false;
  Clock& known = core.thread_clocks[std::this_thread::get_id()];
  const bool is_news = !Covers(known, failed_by.stream->id(), failed_by.task);
  Merge(known, {{failed_by.stream->id(), failed_by.task}});
  return is_news;
}

std::optional<Failure> CheckComm(Call& call, const CommObject& comm, StreamObject& stream) {
  if (comm.context != call.context()) {
    call.Break("C3", 0, Text(call.name(), " with a communicator of another context"));
  }
  if (comm.failed && IsKnown(call.core, comm.failed_by)) {
    const std::string text = Text(call.name(), " with a communicator that has failed");
    if (IsNews(call.core, comm.failed_by)) return call.Fail(codes::kHcclInternal, text);
    return call.Break("H4", codes::kHcclInternal, text);
  }
  const Point& last = comm.last;
  if (last.stream == nullptr || last.stream.get() == &stream) return std::nullopt;
  Merge(stream.clock(), call.core.host_clock);
  if (!Covers(stream.clock(), last.stream->id(), last.task)) {
    call.Break("H3", 0, "two collectives of one communicator on two streams at once");
  }
  return std::nullopt;
}

// A buffer of a collective as a range.
bool FindBuffer(Call& call, const char* what, const void* address, size_t bytes, size_t element,
                Use use, Range* range) {
  range->block = FindDeviceMemory(call, "H6", what, address, bytes);
  if (range->block == nullptr) return false;
  if (reinterpret_cast<uintptr_t>(address) % element != 0) {
    call.Break("H6", codes::kHcclParameter,
               Text(call.name(), ": ", what, " is not aligned to its elements"));
    return false;
  }
  range->begin = static_cast<const std::byte*>(address);
  range->size = bytes;
  range->use = use;
  return true;
}

HcclCode Enqueue(Call& call, Operation operation, void* send, void* receive, uint64_t count,
                 HcclDataType type, HcclReduceOp reduce, Comm* comm_handle, Stream* stream_handle) {
  const auto comm = call.Find<CommObject>(comm_handle);
  if (comm == nullptr) return call.bad_handle();
  const auto stream = call.FindStream(stream_handle);
  if (stream == nullptr) return call.bad_handle();
  if (call.launch_fault().has_value()) {
    comm->failed = true;  // As after any failure.
    return call.Fail(*call.launch_fault(), Text(call.name(), " was told to fail"));
  }
  if (const auto failure = CheckType(call, type, operation)) return *failure;
  if (const auto failure = CheckComm(call, *comm, *stream)) return *failure;
  const AclDataType element = ElementOf(type);
  const size_t bytes = count * SizeOf(element);
  const size_t received =
      operation == Operation::kAllGather ? bytes * comm->meeting->ranks() : bytes;
  Task task;
  task.function = call.name();
  task.ranges.resize(2);
  if (!FindBuffer(call, "what to send", send, bytes, SizeOf(element), Use::kRead,
                  &task.ranges[0]) ||
      !FindBuffer(call, "where to receive", receive, received, SizeOf(element), Use::kWrite,
                  &task.ranges[1])) {
    return Failure{codes::kHcclParameter};
  }
  const auto* const from = static_cast<const std::byte*>(send);
  const auto* const to = static_cast<const std::byte*>(receive);
  const bool in_place = operation == Operation::kAllReduce && from == to;
  if (!in_place && from < to + received && to < from + bytes) {
    return call.Break("H6", codes::kHcclParameter, Text(call.name(), ": the buffers overlap"));
  }
  const Signature signature = {++comm->sequence, count, static_cast<int32_t>(operation),
                               static_cast<int32_t>(type), static_cast<int32_t>(reduce)};
  const Collective work = {
      comm,      stream,      operation,  element, count, from, static_cast<std::byte*>(receive),
      signature, call.name(), task.origin};
  task.run = [&core = call.core, work](Lock& lock) { return Run(core, work, lock); };
  task.fail = [work] { NoteFailure(work); };
  comm->last = {stream, stream->Enqueue(std::move(task))};
  return HcclCode::kSuccess;
}

}  // namespace

HcclCode HcclAllReduce(Call& call, void* send, void* receive, uint64_t count, HcclDataType type,
                       HcclReduceOp op, Comm* comm, Stream* stream) {
  if (op != HcclReduceOp::kSum) {
    return call.Break("6", codes::kHcclNotSupported, "HcclAllReduce of another reduction than sum");
  }
  return Enqueue(call, Operation::kAllReduce, send, receive, count, type, op, comm, stream);
}

HcclCode HcclAllGather(Call& call, void* send, void* receive, uint64_t send_count,
                       HcclDataType type, Comm* comm, Stream* stream) {
  return Enqueue(call, Operation::kAllGather, send, receive, send_count, type, HcclReduceOp::kSum,
                 comm, stream);
}

}  // namespace pipeserve::ascend::sim::calls
