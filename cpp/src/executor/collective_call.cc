#include "executor/collective_call.h"

#include "base/str_cat.h"

namespace pipeserve {

std::string CollectiveCall::ToString() const {
  if (kind == Kind::kMessage) return StrCat("message ", tag, " of ", bytes, " bytes");
  const std::string what = kind == Kind::kAllGather
                               ? std::string("AllGather")
                               : StrCat("AllReduceSum(", DataTypeName(dtype), ")");
  return StrCat(what, " of ", bytes, " bytes by ", members, " ranks");
}

Status DidNotCome(int rank, const CollectiveCall& call, int peer) {
  return DeadlineExceeded(StrCat("rank ", peer, " did not come to ", call.ToString(), " of rank ",
                                 rank, " before the deadline"));
}

Status DidNotTake(int rank, const CollectiveCall& message, int peer) {
  return DeadlineExceeded(StrCat("rank ", peer, " did not take what rank ", rank, " sent before ",
                                 message.ToString(), " until the deadline"));
}

Status Disagreement(int rank, const CollectiveCall& call, int peer,
                    const CollectiveCall& peer_call) {
  const bool is_message = call.kind == CollectiveCall::Kind::kMessage;
  return FailedPrecondition(StrCat("ranks disagree about a ", is_message ? "message" : "collective",
                                   ": rank ", rank, " wants ", call.ToString(), ", rank ", peer,
                                   " wants ", peer_call.ToString()));
}

}  // namespace pipeserve
