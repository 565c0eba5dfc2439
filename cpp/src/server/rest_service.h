// The service of the REST door: requests of clients, which the dispatcher answers.
#pragma once

#include <string>
#include <string_view>

#include "server/dispatcher.h"
#include "server/http_service.h"

namespace pipeserve {

class RestService final : public HttpService {
 public:
  // `dispatcher` outlives it. Without `http_status_codes` all but health is answered with 200.
  RestService(Dispatcher* dispatcher, bool http_status_codes)
      : dispatcher_(*dispatcher), http_status_codes_(http_status_codes) {}

  std::string_view name() const override { return "RESTful"; }
  HttpAnswer AnswerAtOnce(std::string_view method, std::string_view url) override;
  void Post(HttpRequest request, Done done) override;
  HttpAnswer Refuse(int http_status, std::string_view text) const override;
  void Close() override {}  // It holds nothing up: the dispatcher answers.

 private:
  Dispatcher& dispatcher_;
  const bool http_status_codes_;
};

// `milliseconds` is the value of kTimeoutField. Errors: kInvalidArgument (no whole number from 1 to
// that of a year).
Result<Deadline> ReadRestTimeout(std::string_view milliseconds);

// Errors: kInvalidArgument, in the original's words.
Result<ClientRequest> ReadRestRequest(std::string_view url, const std::string& body);

// With the status of a server that has real status codes.
HttpAnswer AnswerReply(const ClientReply& reply);
HttpAnswer AnswerError(const Status& error);

}  // namespace pipeserve
