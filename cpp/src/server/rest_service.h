// What a REST message asks, and what is answered: HTTP without the transport.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "server/dispatcher.h"

namespace pipeserve {

struct RestAnswer {
  int http_status = 200;                // What a server with real status codes sends.
  std::string body;                     // JSON.
  std::chrono::seconds retry_after{0};  // When a request that was refused may come again; 0: none.
};

// How long its client waits for a request, as a header field.
inline constexpr std::string_view kTimeoutField = "X-Request-Timeout-Ms";

// `milliseconds` is the value of kTimeoutField. Errors: kInvalidArgument (no whole number from 1 to
// that of a year).
Result<Deadline> ReadRestTimeout(std::string_view milliseconds);

// Errors: kInvalidArgument, in the original's words.
Result<ClientRequest> ReadRestRequest(std::string_view url, const std::string& body);

// What GET of a health URL is answered, always with its HTTP status: /v2/health/live while the
// process answers at all, /v2/health/ready by Dispatcher::AllAvailable(). Null: `url` is none of
// them.
std::optional<RestAnswer> AnswerHealth(std::string_view url, const Dispatcher& dispatcher);

RestAnswer AnswerReply(const ClientReply& reply);
RestAnswer AnswerError(const Status& error);

}  // namespace pipeserve
