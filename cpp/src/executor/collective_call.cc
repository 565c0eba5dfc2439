#include "executor/collective_call.h"

#include "base/str_cat.h"

namespace pipeserve {

std::string CollectiveCall::ToString() const {
  const std::string what = kind == Kind::kAllGather
                               ? std::string("AllGather")
                               : StrCat("AllReduceSum(", DataTypeName(dtype), ")");
  return StrCat(what, " of ", bytes, " bytes by ", members, " ranks");
}

Status Disagreement(int rank, const CollectiveCall& call, int peer,
                    const CollectiveCall& peer_call) {
  return FailedPrecondition(StrCat("ranks disagree about a collective: rank ", rank, " wants ",
                                   call.ToString(), ", rank ", peer, " wants ",
                                   peer_call.ToString()));
}

}  // namespace pipeserve
