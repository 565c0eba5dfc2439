// What one rank asks of a collective. All members must ask the same.
#pragma once

#include <cstdint>
#include <string>

#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

struct CollectiveCall {
  enum class Kind : uint8_t { kAllGather = 1, kAllReduceSum = 2 };

  Kind kind = Kind::kAllGather;
  DataType dtype = DataType::kUnknown;  // Of kAllReduceSum only.
  uint32_t members = 0;
  uint64_t bytes = 0;  // Of one member's piece.

  // "AllGather of 8 bytes by 2 ranks".
  std::string ToString() const;
  friend bool operator==(const CollectiveCall&, const CollectiveCall&) = default;
};

// The error of two members that ask different things; names both.
Status Disagreement(int rank, const CollectiveCall& call, int peer,
                    const CollectiveCall& peer_call);

}  // namespace pipeserve
