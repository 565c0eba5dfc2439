// The URL of a REST request: /model/{name}[/version/{v}]:{method}, parts in either order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pipeserve/status.h"

namespace pipeserve {

struct RestTarget {
  std::string servable;
  std::string method;
  uint64_t version = 0;  // 0: the newest, or the one that was switched to.
};

// Cuts the path into segments, so that a name may contain "model" or "version"; the original
// searched for substrings. Segments that are no keyword are skipped, as there, and so is what
// follows the digits of a version. A query string does not belong to the method.
// Errors: kInvalidArgument, in the original's words.
Result<RestTarget> ParseRestUrl(std::string_view url);

}  // namespace pipeserve
