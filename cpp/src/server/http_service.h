// What an HTTP door serves: its requests without the transport.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/cancel_token.h"

namespace pipeserve {

// How long the client of a POST waits for its answer, as a header field.
inline constexpr std::string_view kTimeoutField = "X-Request-Timeout-Ms";

struct HttpRequest {
  std::string url;
  std::string body;
  std::optional<std::string> timeout = std::nullopt;  // The value of kTimeoutField, as it came.
  std::string content_type = {};
  std::string origin = {};  // Of the page that a browser sends it for; empty: it is no browser.
  std::shared_ptr<CancelToken> cancel = nullptr;  // Raised when the client leaves.
};

struct HttpAnswer {
  int http_status = 200;
  std::string body;                     // JSON.
  std::chrono::seconds retry_after{0};  // When a request that was refused may come again; 0: none.
  std::string_view allow = {};  // The method that the path has, of a constant; empty: unsaid.
};

// Thread-safe, but for Close().
class HttpService {
 public:
  // Runs once, where the connection lives: writing a large answer keeps no thread of the service.
  using MakeAnswer = std::function<HttpAnswer()>;
  using Done = std::function<void(MakeAnswer)>;

  virtual ~HttpService() = default;

  // What error texts call the door: "RESTful".
  virtual std::string_view name() const = 0;

  // What a request of any method but POST is answered; its body is not read. Must be quick.
  virtual HttpAnswer AnswerAtOnce(std::string_view method, std::string_view url) = 0;

  // `done` runs once, on any thread, also before this returns.
  virtual void Post(HttpRequest request, Done done) = 0;

  // What the door itself refuses to read, with the status that HTTP has for it.
  virtual HttpAnswer Refuse(int http_status, std::string_view text) const = 0;

  // The door closes, and will wait until everything is answered: whatever only the service could
  // hold up is answered now, and threads of its own have ended. Idempotent, for one thread at a
  // time.
  virtual void Close() = 0;
};

}  // namespace pipeserve
