// What phase 1 of each operator says: the sizes of workspaces, and whether a plan can be repeated;
// and what phase 2 costs.
#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "base/str_cat.h"
#include "checks.h"
#include "operator_calls.h"
#include "process.h"

namespace pipeserve::ascend::check {
namespace {

constexpr int kEnqueuedAtOnce = 64;  // Then the stream is waited for.

// Calls `each` for all operators; one that fails does not keep the others from it.
template <typename Each>
Status ForEachOperator(Session& session, Json& found, Each each) {
  PIPESERVE_ASSIGN_OR_RETURN(const std::unique_ptr<OperatorCalls> calls,
                             OperatorCalls::Create(session));
  Json operators = Json::object();
  for (const OperatorCall& call : calls->all()) {
    SayProgress(call.name);
    Json part = Json::object();
    const Status status = each(call, part);
    operators[call.name] = PartOf(status, std::move(part));
    if (session.device().is_abandoned()) break;
  }
  const Status first = FirstFailure(operators);
  found["operators"] = std::move(operators);
  if (!calls->missing().empty()) found["missing"] = calls->missing();
  return first;
}

// Launches every plan, because releases before ACL 1.10 have no other way to be rid of one.
Status PlanOften(Session& session, const OperatorCall& call, Json& part) {
  const int times = session.Size(1000, 50);
  std::set<uint64_t> sizes;
  double planning = 0;
  for (int i = 0; i < times; ++i) {
    uint64_t size = 0;
    abi::OpExecutor* executor = nullptr;
    const Stopwatch watch;
    PIPESERVE_RETURN_IF_ERROR(call.Plan(session.device(), &size, &executor));
    planning += watch.milliseconds();
    sizes.insert(size);
    PIPESERVE_RETURN_IF_ERROR(call.Launch(session, size, executor, session.stream().handle()));
    if (i % kEnqueuedAtOnce == 0) PIPESERVE_RETURN_IF_ERROR(session.Synchronize());
  }
  PIPESERVE_RETURN_IF_ERROR(session.Synchronize());
  part["plans"] = times;
  part["least_bytes"] = *sizes.begin();
  part["most_bytes"] = *sizes.rbegin();
  part["constant"] = sizes.size() == 1;
  part["plan_us"] = planning * 1000 / times;
  return OkStatus();
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Runs a plan that may be repeated as the backend does, and compares it with a plan for each call.
Status RepeatPlan(Session& session, const OperatorCall& call, abi::OpExecutor* executor,
                  uint64_t size) {
  constexpr int kTimes = 3;
  PIPESERVE_RETURN_IF_ERROR(call.Run(session));
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<float> wanted,
                             session.Download(*call.out, call.out_count));
  for (int i = 0; i < kTimes; ++i) {
    PIPESERVE_RETURN_IF_ERROR(session.Overwrite(*call.out, std::vector<float>(call.out_count, 7)));
    PIPESERVE_RETURN_IF_ERROR(call.Launch(session, size, executor, session.stream().handle()));
    PIPESERVE_ASSIGN_OR_RETURN(const std::vector<float> came,
                               session.Download(*call.out, call.out_count));
    if (SameBits(came, wanted)) continue;
    return Internal(StrCat("launch ", i + 1, " of a repeated plan gives another result"));
  }
  return OkStatus();
}

Status TryToRepeat(Session& session, const OperatorCall& call, Json& part) {
  Device& device = session.device();
  uint64_t size = 0;
  abi::OpExecutor* executor = nullptr;
  PIPESERVE_RETURN_IF_ERROR(call.Plan(device, &size, &executor));
  const abi::AclCode code = device.acl().aclSetAclOpExecutorRepeatable(executor);
  part["repeatable"] = code == abi::AclCode::kSuccess;
  if (code != abi::AclCode::kSuccess) {
    part["code"] = static_cast<int32_t>(code);
    PIPESERVE_RETURN_IF_ERROR(call.Launch(session, size, executor, session.stream().handle()));
    return session.Synchronize();
  }
  const Status status = RepeatPlan(session, call, executor, size);
  if (!session.Synchronize().ok()) return status;  // It may still be needed.
  const Status destroyed = PIPESERVE_ACL(device, aclDestroyAclOpExecutor, executor);
  return status.ok() ? destroyed : status;
}

// A stream whose flags are chosen, which Stream's are not.
class PlainStream {
 public:
  static Result<std::unique_ptr<PlainStream>> Create(Device& device, uint32_t flags) {
    std::unique_ptr<PlainStream> stream(new PlainStream(device));
    PIPESERVE_RETURN_IF_ERROR(
        PIPESERVE_ACL(device, aclrtCreateStreamWithConfig, &stream->handle_, 0, flags));
    return stream;
  }
  PlainStream(const PlainStream&) = delete;
  ~PlainStream() {
    if (handle_ == nullptr) return;
    if (!Synchronize().ok()) device_.Abandon();
    if (!device_.is_abandoned()) (void)PIPESERVE_ACL(device_, aclrtDestroyStream, handle_);
  }

  abi::Stream* handle() const { return handle_; }
  Status Synchronize() {
    constexpr int32_t kLimit = 60'000;
    return PIPESERVE_ACL(device_, aclrtSynchronizeStreamWithTimeout, handle_, kLimit);
  }

 private:
  explicit PlainStream(Device& device) : device_(device) {}

  Device& device_;
  abi::Stream* handle_ = nullptr;
};

// Microseconds: of one launch among many, and of one with its wait.
Status TimeLaunches(Session& session, const OperatorCall& call, PlainStream& stream, Json& part) {
  const int times = session.Size(1000, 30);
  const auto launch = [&]() -> Status {
    uint64_t size = 0;
    abi::OpExecutor* executor = nullptr;
    PIPESERVE_RETURN_IF_ERROR(call.Plan(session.device(), &size, &executor));
    return call.Launch(session, size, executor, stream.handle());
  };
  PIPESERVE_RETURN_IF_ERROR(launch());  // The first loads the kernel.
  PIPESERVE_RETURN_IF_ERROR(stream.Synchronize());
  double enqueued = 0, done = 0;
  for (int i = 0; i < times; ++i) {
    const Stopwatch watch;
    PIPESERVE_RETURN_IF_ERROR(launch());
    enqueued += watch.milliseconds();
    PIPESERVE_RETURN_IF_ERROR(stream.Synchronize());
    done += watch.milliseconds();
  }
  part["launch_us"] = enqueued * 1000 / times;
  part["launch_and_wait_us"] = done * 1000 / times;
  return OkStatus();
}

}  // namespace

Status CheckWorkspaces(Session& session, Json& found) {
  return ForEachOperator(session, found, [&](const OperatorCall& call, Json& part) {
    return PlanOften(session, call, part);
  });
}

Status CheckRepeatable(Session& session, Json& found) {
  const abi::Functions& acl = session.device().acl();
  if (acl.aclSetAclOpExecutorRepeatable == nullptr || acl.aclDestroyAclOpExecutor == nullptr) {
    found["unsupported"] = "this release has no function aclSetAclOpExecutorRepeatable";
    return OkStatus();
  }
  return ForEachOperator(session, found, [&](const OperatorCall& call, Json& part) {
    return TryToRepeat(session, call, part);
  });
}

Status CheckLaunch(Session& session, Json& found) {
  return ForEachOperator(session, found, [&](const OperatorCall& call, Json& part) -> Status {
    for (const auto& [name, flags] :
         {std::pair("fast", abi::kStreamFastLaunch | abi::kStreamFastSync),
          std::pair("plain", 0u)}) {
      PIPESERVE_ASSIGN_OR_RETURN(const std::unique_ptr<PlainStream> stream,
                                 PlainStream::Create(session.device(), flags));
      PIPESERVE_RETURN_IF_ERROR(TimeLaunches(session, call, *stream, part[name]));
    }
    return OkStatus();
  });
}

}  // namespace pipeserve::ascend::check
