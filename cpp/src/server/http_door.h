// An HTTP door: HTTP/1.1 on one address, with or without TLS.
#pragma once

#include <memory>
#include <string>

#include "pipeserve/server.h"
#include "server/http_service.h"

namespace pipeserve {

// Thread-safe.
class HttpDoor {
 public:
  // Opens the door; `service` answers its requests.
  // Errors: kInvalidArgument (address, certificate files), kUnavailable (the port).
  static Result<std::unique_ptr<HttpDoor>> Open(const ListenOptions& options,
                                                std::unique_ptr<HttpService> service);
  ~HttpDoor();  // Close().

  const std::string& address() const;  // With the bound port.

  // Refuses what comes, waits until what was accepted is answered, closes every connection.
  // Idempotent; a second caller waits for the first.
  void Close();

 private:
  class Impl;
  explicit HttpDoor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipeserve
