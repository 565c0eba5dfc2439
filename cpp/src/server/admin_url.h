// The URL of an operator's order: /v2/repository/models/{servable}/{action}.
#pragma once

#include <string>
#include <string_view>

#include "pipeserve/status.h"

namespace pipeserve {

inline constexpr std::string_view kAdminActions[] = {"load", "unload", "switch", "rollback"};

struct AdminTarget {
  std::string servable;  // What a folder could be called: no "/" or control character, UTF-8.
  std::string action;    // One of kAdminActions.
};

// `path` has no query; the servable's name in it may be percent-encoded. Errors: kNotFound (`path`
// has another form or action), kInvalidArgument (the name).
Result<AdminTarget> ParseAdminPath(std::string_view path);

}  // namespace pipeserve
