#include "server/rest_service.h"

#include <charconv>
#include <cstdint>
#include <utility>

#include "base/str_cat.h"
#include "server/rest_reply.h"
#include "server/rest_request.h"
#include "server/rest_url.h"

namespace pipeserve {
namespace {

constexpr std::chrono::milliseconds kLongestTimeout = std::chrono::hours(24 * 366);

int HttpStatus(StatusCode code) {
  switch (code) {
    case StatusCode::kInvalidArgument:
      return 400;
    case StatusCode::kNotFound:
      return 404;
    case StatusCode::kResourceExhausted:
      return 429;
    case StatusCode::kUnavailable:
    case StatusCode::kCancelled:
      return 503;
    case StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

}  // namespace

Result<ClientRequest> ReadRestRequest(std::string_view url, const std::string& body) {
  if (body.empty()) return InvalidArgument("http message invalid, the body is empty");
  ClientRequest request;
  PIPESERVE_ASSIGN_OR_RETURN(request.instances, ParseRestBody(body));
  PIPESERVE_ASSIGN_OR_RETURN(RestTarget target, ParseRestUrl(url));
  request.servable = std::move(target.servable);
  request.method = std::move(target.method);
  request.version = target.version;
  return request;
}

Result<Deadline> ReadRestTimeout(std::string_view milliseconds) {
  int64_t value = 0;
  const char* const end = milliseconds.data() + milliseconds.size();
  const auto [rest, error] = std::from_chars(milliseconds.data(), end, value);
  if (error != std::errc() || rest != end || value < 1 || value > kLongestTimeout.count()) {
    return InvalidArgument(
        StrCat(kTimeoutField, " is '", milliseconds, "', wanted 1 to ", kLongestTimeout.count()));
  }
  return Deadline::After(std::chrono::milliseconds(value));
}

std::optional<RestAnswer> AnswerHealth(std::string_view url, const Dispatcher& dispatcher) {
  if (url == "/v2/health/live") return RestAnswer{200, R"({"live": true})", {}};
  if (url != "/v2/health/ready") return std::nullopt;
  if (dispatcher.AllAvailable()) return RestAnswer{200, R"({"ready": true})", {}};
  return RestAnswer{503, R"({"ready": false})", {}};
}

RestAnswer AnswerReply(const ClientReply& reply) {
  if (!reply.error.ok()) {
    RestAnswer answer = AnswerError(reply.error);
    answer.retry_after = reply.retry_after;
    return answer;
  }
  Result<std::string> body = WriteRestReply(reply.output_names, reply.instances);
  if (!body.ok()) return AnswerError(body.status());
  return {200, *std::move(body), {}};
}

RestAnswer AnswerError(const Status& error) {
  return {HttpStatus(error.code()), WriteRestError(error.message()), {}};
}

}  // namespace pipeserve
