// What a REST message asks, and what is answered: HTTP without the transport.
#pragma once

#include <string>
#include <string_view>

#include "server/dispatcher.h"

namespace pipeserve {

struct RestAnswer {
  int http_status = 200;  // What a server with real status codes sends.
  std::string body;       // JSON.
};

// Errors: kInvalidArgument, in the original's words.
Result<ClientRequest> ReadRestRequest(std::string_view url, const std::string& body);

RestAnswer AnswerReply(const ClientReply& reply);
RestAnswer AnswerError(const Status& error);

}  // namespace pipeserve
