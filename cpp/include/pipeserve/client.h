// A client of a served method or pipeline, over gRPC (MSService/Predict).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "pipeserve/instance.h"
#include "pipeserve/ssl_options.h"
#include "pipeserve/status.h"

namespace [[gnu::visibility("default")]] pipeserve {

struct ClientOptions {
  std::string address = {};  // "host:port" or "unix:<path>".
  std::string servable = {};
  std::string method = {};
  uint64_t version = 0;  // 0: the newest, or the one that was switched to.
  std::optional<ClientSslOptions> ssl = {};
  std::chrono::milliseconds timeout{0};  // Of one request; 0 waits for ever.
};

// Thread-safe. Destruction waits for requests that are in flight.
class Client {
 public:
  // Errors: kInvalidArgument (an empty name, an SSL file that cannot be read). Does not connect.
  static Result<std::unique_ptr<Client>> Create(const ClientOptions& options);
  ~Client();

  // Errors: the transport's gRPC status. What the server found wrong is in the reply.
  Result<InferReply> Infer(std::span<const NamedInstance> instances);
  // `done` runs once, on a thread of the client.
  void InferAsync(std::span<const NamedInstance> instances,
                  std::function<void(Result<InferReply>)> done);

 private:
  class Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipeserve
