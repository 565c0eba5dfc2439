// What every HTTP door says of the server's health.
#pragma once

#include <optional>
#include <string_view>

#include "server/dispatcher.h"
#include "server/http_service.h"

namespace pipeserve {

inline constexpr std::string_view kLivePath = "/v2/health/live";
inline constexpr std::string_view kReadyPath = "/v2/health/ready";

// What GET of a health path is answered, always with its HTTP status: kLivePath while the process
// answers at all, kReadyPath by Dispatcher::AllAvailable(). Null: `path` is none of them.
std::optional<HttpAnswer> AnswerHealth(std::string_view path, const Dispatcher& dispatcher);

}  // namespace pipeserve
