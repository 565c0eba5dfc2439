// Events.
#include "calls.h"

namespace pipeserve::ascend::sim::calls {
namespace {

AclCode Create(Call& call, Event** handle, uint32_t flags, bool ex) {
  constexpr uint32_t kTimeLine = 8;
  if (handle == nullptr || (flags & ~(kEventSync | kTimeLine)) != 0) {
    return call.Break("E1", codes::kInvalidParameter, Text(call.name(), " with flags ", flags));
  }
  const auto event = std::make_shared<EventObject>(call.context(), ex, flags);
  *handle = static_cast<Event*>(call.core.objects.Add(event));
  return AclCode::kSuccess;
}

// The event, when it may be waited for.
std::shared_ptr<EventObject> FindToWait(Call& call, Event* handle) {
  auto event = call.FindEvent(handle);
  if (event == nullptr) return nullptr;
  if ((event->flags & kEventSync) == 0) {
    call.Break("E1", 0, Text(call.name(), " of an event that was not made to be waited for"));
  }
  if (!event->ex && event->recorded.stream == nullptr) {
    call.Break("E1", 0, Text(call.name(), " of an event that is not recorded: it never comes"));
  }
  return event;
}

// A task that computes nothing.
Task Marker(const Call& call, std::function<int32_t(Lock&)> run) {
  Task task;
  task.function = call.name();
  task.is_work = false;
  task.run = std::move(run);
  return task;
}

int32_t DoNothing(Lock&) { return 0; }

void AddUser(const Call& call, EventObject& event, Point user) {
  std::erase_if(event.users, [&](const Point& each) {
    return Covers(call.core.host_clock, each.stream->id(), each.task);
  });
  event.users.push_back(std::move(user));
}

}  // namespace

AclCode aclrtCreateEventWithFlag(Call& call, Event** event, uint32_t flags) {
  return Create(call, event, flags, false);
}

AclCode aclrtCreateEventExWithFlag(Call& call, Event** event, uint32_t flags) {
  return Create(call, event, flags, true);
}

AclCode aclrtRecordEvent(Call& call, Event* handle, Stream* stream_handle) {
  const auto event = call.FindEvent(handle);
  if (event == nullptr) return call.bad_handle();
  const auto stream = call.FindStream(stream_handle);
  if (stream == nullptr) return call.bad_handle();
  if (!event->ex && event->recorded.stream != nullptr) {
    call.Break("E1", 0, "aclrtRecordEvent of an event that was not reset since its last record");
  }
  event->recorded = {stream, stream->Enqueue(Marker(call, DoNothing))};
  event->clock = stream->clock();
  AddUser(call, *event, event->recorded);
  return AclCode::kSuccess;
}

AclCode aclrtStreamWaitEvent(Call& call, Stream* stream_handle, Event* handle) {
  const auto stream = call.FindStream(stream_handle);
  if (stream == nullptr) return call.bad_handle();
  const auto event = FindToWait(call, handle);
  if (event == nullptr) return call.bad_handle();
  const Point point = event->recorded;
  if (point.stream == nullptr) return AclCode::kSuccess;
  const auto wait = [&core = call.core, point, waiting = stream.get()](Lock& lock) {
    point.stream->Demand(point.task);
    core.changed.wait(lock, [&] {
      return point.stream->IsPassed(point.task) || point.stream->is_abandoned() ||
             waiting->is_abandoned();
    });
    return 0;
  };
  Merge(stream->clock(), event->clock);
  AddUser(call, *event, {stream, stream->Enqueue(Marker(call, wait))});
  return AclCode::kSuccess;
}

AclCode aclrtResetEvent(Call& call, Event* handle, Stream* stream_handle) {
  const auto event = call.FindEvent(handle);
  if (event == nullptr) return call.bad_handle();
  const auto stream = call.FindStream(stream_handle);
  if (stream == nullptr) return call.bad_handle();
  if (event->ex) {
    return call.Break("E1", codes::kInvalidParameter,
                      "aclrtResetEvent of an event of aclrtCreateEventExWithFlag");
  }
  if (event->recorded.stream == nullptr) {
    call.Break("E1", 0, "aclrtResetEvent of an event that is not recorded");
  }
  Merge(stream->clock(), call.core.host_clock);
  for (const Point& user : event->users) {
    if (Covers(stream->clock(), user.stream->id(), user.task)) continue;
    call.Break("E1", 0, "aclrtResetEvent before all that wait for the event have seen it");
  }
  event->recorded = {};
  event->users = {{stream, stream->Enqueue(Marker(call, DoNothing))}};
  return AclCode::kSuccess;
}

AclCode aclrtSynchronizeEventWithTimeout(Call& call, Event* handle, int32_t milliseconds) {
  if (milliseconds == 0 || milliseconds < -1) {
    return call.Break("S3", codes::kInvalidParameter,
                      Text("a wait for ", milliseconds, " ms: it takes -1 or more than 0"));
  }
  const auto event = FindToWait(call, handle);
  if (event == nullptr) return call.bad_handle();
  const Point point = event->recorded;
  if (point.stream == nullptr) return AclCode::kSuccess;
  const Clock reached = event->clock;
  if (!point.stream->Await(call.lock(), point.task, milliseconds)) {
    return call.Fail(codes::kEventTimeout,
                     Text("the event has not come after ", milliseconds, " ms"));
  }
  call.core.HostReaches(reached);
  std::string text;
  if (const int32_t failure = point.stream->TakeFailure(&text)) return call.Fail(failure, text);
  return AclCode::kSuccess;
}

AclCode aclrtDestroyEvent(Call& call, Event* handle) {
  const auto event = call.FindEvent(handle);
  if (event == nullptr) return call.bad_handle();
  for (const Point& user : event->users) {
    if (Covers(call.core.host_clock, user.stream->id(), user.task)) continue;
    call.Break("E1", 0, "aclrtDestroyEvent of an event that a stream still uses");
    break;
  }
  call.core.objects.Remove(*event);
  return AclCode::kSuccess;
}

}  // namespace pipeserve::ascend::sim::calls
