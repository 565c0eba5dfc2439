// What one rank asks of a collective, or of a message. All members must ask the same.
#pragma once

#include <cstdint>
#include <string>

#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

struct CollectiveCall {
  enum class Kind : uint8_t { kAllGather = 1, kAllReduceSum = 2, kMessage = 3 };

  Kind kind = Kind::kAllGather;
  DataType dtype = DataType::kUnknown;  // Of kAllReduceSum only.
  uint32_t members = 0;
  uint64_t bytes = 0;  // Of one member's piece.
  int64_t tag = 0;     // Of kMessage only.

  // "AllGather of 8 bytes by 2 ranks", "message 3 of 8 bytes".
  std::string ToString() const;
  friend bool operator==(const CollectiveCall&, const CollectiveCall&) = default;
};

// `peer` did not come to what `rank` asks of it before the deadline.
Status DidNotCome(int rank, const CollectiveCall& call, int peer);
// `peer` did not take so much of what was sent to it that this message could follow.
Status DidNotTake(int rank, const CollectiveCall& message, int peer);

// The error of two members that ask different things; names both.
Status Disagreement(int rank, const CollectiveCall& call, int peer,
                    const CollectiveCall& peer_call);

}  // namespace pipeserve
