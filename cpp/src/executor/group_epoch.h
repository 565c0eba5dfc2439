// What the ranks of one epoch have in common.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace pipeserve {

// The secret comes from the server, over the link of each agent: whoever proves that it knows it is
// of this epoch, and no stranger.
struct GroupEpoch {
  // Implicit: ranks within one process need no secret.
  GroupEpoch(uint64_t number, std::string secret = "")  // NOLINT(google-explicit-constructor)
      : number(number), secret(std::move(secret)) {}

  uint64_t number;
  std::string secret;
};

}  // namespace pipeserve
