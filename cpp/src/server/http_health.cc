#include "server/http_health.h"

namespace pipeserve {

std::optional<HttpAnswer> AnswerHealth(std::string_view path, const Dispatcher& dispatcher) {
  if (path == kLivePath) return HttpAnswer{200, R"({"live": true})"};
  if (path != kReadyPath) return std::nullopt;
  if (dispatcher.AllAvailable()) return HttpAnswer{200, R"({"ready": true})"};
  return HttpAnswer{503, R"({"ready": false})"};
}

}  // namespace pipeserve
