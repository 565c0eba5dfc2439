// A wait that ends before what it waits for.
#include <cstdint>
#include <utility>

#include "base/str_cat.h"
#include "checks.h"
#include "operator_calls.h"
#include "process.h"

namespace pipeserve::ascend::check {
namespace {

constexpr int32_t kShort = 1;  // Milliseconds.

// The operator that there is on every product.
const OperatorCall* AnyOperator(const OperatorCalls& calls) {
  const OperatorCall* const product = calls.Find("aclnnMatmul");
  return product != nullptr ? product : calls.Find("aclnnRelu");
}

// What a short wait for `launches` of an operator returned, and after how long.
struct ShortWait {
  abi::AclCode code = abi::AclCode::kSuccess;
  double milliseconds = 0;
};

Result<ShortWait> WaitShortly(Session& session, const OperatorCall& call, int launches) {
  for (int i = 0; i < launches; ++i) PIPESERVE_RETURN_IF_ERROR(call.Run(session));
  const Stopwatch watch;
  // Not through Stream, which waits on; nor checked, because this device is not lost by it.
  const abi::AclCode code =
      session.device().acl().aclrtSynchronizeStreamWithTimeout(session.stream().handle(), kShort);
  return ShortWait{code, watch.milliseconds()};
}

// Whether the stream computes what it should after a wait that timed out.
Status UseAgain(Session& session, const OperatorCall& call) {
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<float> before,
                             session.Download(*call.out, call.out_count));
  PIPESERVE_RETURN_IF_ERROR(session.Overwrite(*call.out, std::vector<float>(call.out_count, 7)));
  PIPESERVE_RETURN_IF_ERROR(call.Run(session));
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<float> after,
                             session.Download(*call.out, call.out_count));
  return before == after ? OkStatus() : Internal("the stream computes something else afterwards");
}

}  // namespace

Status CheckWaits(Session& session, Json& found) {
  PIPESERVE_ASSIGN_OR_RETURN(const std::unique_ptr<OperatorCalls> calls,
                             OperatorCalls::Create(session));
  const OperatorCall* const call = AnyOperator(*calls);
  if (call == nullptr) return Unimplemented("the runtime has no operator to wait for");
  found["operator"] = call->name;
  found["limit_ms"] = kShort;
  const int most = session.Size(1 << 16, 1 << 10);
  for (int launches = 64; launches <= most; launches *= 4) {
    SayProgress(StrCat(launches, " launches"));
    PIPESERVE_ASSIGN_OR_RETURN(const ShortWait wait, WaitShortly(session, *call, launches));
    found["launches"] = launches;
    found["waited_ms"] = wait.milliseconds;
    found["code"] = static_cast<int32_t>(wait.code);
    if (wait.code == abi::AclCode::kSuccess) continue;  // The work was too short, perhaps.
    if (!IsTimeOut(wait.code)) {
      return Internal(StrCat("the wait ended with ", static_cast<int32_t>(wait.code),
                             ", which is no code of a time-out"));
    }
    PIPESERVE_RETURN_IF_ERROR(UseAgain(session, *call).WithContext("after the time-out"));
    found["stream_usable_afterwards"] = true;
    return OkStatus();
  }
  return Internal(StrCat("no wait of ", kShort, " ms timed out, not even for ", most,
                         " launches; the last took ", found["waited_ms"].get<double>(), " ms"));
}

}  // namespace pipeserve::ascend::check
