// What the process that brings ranks together and the process of a rank tell each other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pipeserve/status.h"

namespace pipeserve::ascend::check {

// Messages, in this order:
//   all say        {"ready": true}    they have their devices
//   rank 0 says    {"root": HEX}      and the others are told it
//   all say        {"sums": {...}}    what they found
//   all say        {"waiting": true}  only when one is killed: the last rank; the others are in a
//                                     collective that it does not come to
//   others say     {"end": {...}}     how the collective ended for them
struct RankRole {
  uint32_t rank = 0;
  uint32_t ranks = 0;
  bool last_is_killed = false;

  std::string ToString() const;
  static Result<RankRole> Parse(std::string_view text);
};

}  // namespace pipeserve::ascend::check
