// The public gRPC service (MSService) on one address.
#pragma once

#include <memory>
#include <string>

#include "pipeserve/server.h"
#include "server/dispatcher.h"

namespace pipeserve {

// Thread-safe.
class GrpcDoor {
 public:
  // Opens the door; requests go to `dispatcher`, which outlives it.
  // Errors: kInvalidArgument (address, unreadable files), kUnavailable (port, broken certificate).
  static Result<std::unique_ptr<GrpcDoor>> Open(const ListenOptions& options,
                                                Dispatcher* dispatcher);
  ~GrpcDoor();  // Close().

  const std::string& address() const;  // With the bound port.

  // Refuses what comes and waits until what was accepted is answered; calls that still run after
  // some seconds are cancelled for the client. Idempotent.
  void Close();

 private:
  class Impl;
  explicit GrpcDoor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipeserve
