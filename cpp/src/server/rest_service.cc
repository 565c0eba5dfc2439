#include "server/rest_service.h"

#include <charconv>
#include <cstdint>
#include <utility>

#include "base/str_cat.h"
#include "server/http_health.h"
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

// What clients of the original see: it has one status.
HttpAnswer WithoutStatus(HttpAnswer answer) { return {200, std::move(answer.body)}; }

// Frees the body: a request may wait for long, and its tensors have the bytes.
Result<ClientRequest> TakeRequest(HttpRequest request) {
  PIPESERVE_ASSIGN_OR_RETURN(ClientRequest read, ReadRestRequest(request.url, request.body));
  if (request.timeout.has_value()) {
    PIPESERVE_ASSIGN_OR_RETURN(read.deadline, ReadRestTimeout(*request.timeout));
  }
  read.cancel = std::move(request.cancel);
  return read;
}

}  // namespace

HttpAnswer RestService::AnswerAtOnce(std::string_view method, std::string_view url) {
  if (method == "GET") {
    std::optional<HttpAnswer> health = AnswerHealth(url, dispatcher_);
    if (health.has_value()) return *std::move(health);
  }
  return Refuse(400, "http message only support POST right now");
}

void RestService::Post(HttpRequest request, Done done) {
  const auto answer = [done = std::move(done), codes = http_status_codes_](ClientReply reply) {
    done([reply = std::move(reply), codes] {
      return codes ? AnswerReply(reply) : WithoutStatus(AnswerReply(reply));
    });
  };
  Result<ClientRequest> read = TakeRequest(std::move(request));
  if (!read.ok()) {
    ClientReply refusal;
    refusal.error = read.status();
    return answer(std::move(refusal));
  }
  dispatcher_.Dispatch(*std::move(read), answer);
}

HttpAnswer RestService::Refuse(int http_status, std::string_view text) const {
  return {http_status_codes_ ? http_status : 200, WriteRestError(text)};
}

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

HttpAnswer AnswerReply(const ClientReply& reply) {
  if (!reply.error.ok()) {
    HttpAnswer answer = AnswerError(reply.error);
    answer.retry_after = reply.retry_after;
    return answer;
  }
  Result<std::string> body = WriteRestReply(reply.output_names, reply.instances);
  if (!body.ok()) return AnswerError(body.status());
  return {200, *std::move(body)};
}

HttpAnswer AnswerError(const Status& error) {
  return {HttpStatus(error.code()), WriteRestError(error.message())};
}

}  // namespace pipeserve
