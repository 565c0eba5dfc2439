// The doors of a server, through which clients and operators come.
#pragma once

#include <memory>
#include <string>

#include "base/mutex.h"
#include "pipeserve/server.h"
#include "server/admin_service.h"
#include "server/dispatcher.h"
#include "server/grpc_door.h"
#include "server/http_door.h"

namespace pipeserve {

// Each opens once, and closes with all others. Thread-safe.
class Doors {
 public:
  // With the bound ports; empty while one is not open.
  struct Addresses {
    std::string grpc = {};
    std::string rest = {};
    std::string admin = {};
  };

  // `dispatcher` outlives it.
  explicit Doors(Dispatcher* dispatcher) : dispatcher_(*dispatcher) {}
  ~Doors() { Close(); }

  // The address with the bound port. Errors: see Server::StartGrpc(); kFailedPrecondition (closed).
  Result<std::string> OpenGrpc(const ListenOptions& options);
  Result<std::string> OpenRest(const ListenOptions& options);
  Result<std::string> OpenAdmin(ListenOptions options, AdminService::WriteStatus write_status,
                                std::shared_ptr<HostFunction> actions);

  Addresses addresses() const EXCLUDES(mutex_);

  // None opens any more; those that are open stay so.
  void Lock() EXCLUDES(mutex_);
  // Returns when everything that came in is answered. Idempotent.
  void Close() EXCLUDES(mutex_);

 private:
  template <typename Door, typename Open>
  Result<std::string> OpenOnce(const ListenOptions& options, std::unique_ptr<Door>* door,
                               const char* already_open, const Open& open) EXCLUDES(mutex_);

  Dispatcher& dispatcher_;
  mutable Mutex mutex_;
  bool locked_ GUARDED_BY(mutex_) = false;
  std::unique_ptr<GrpcDoor> grpc_ GUARDED_BY(mutex_);
  std::unique_ptr<HttpDoor> rest_ GUARDED_BY(mutex_);
  std::unique_ptr<HttpDoor> admin_ GUARDED_BY(mutex_);
};

}  // namespace pipeserve
