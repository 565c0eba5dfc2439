// Accepts the connections of a gRPC server, which by itself takes as many as come and takes none
// any more once the process ran out of descriptors.
#pragma once

#include <grpcpp/server_builder.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/interrupt.h"
#include "base/socket.h"
#include "pipeserve/status.h"

namespace pipeserve {

class GrpcListener {
 public:
  // Binds "host:port" (port 0 picks a free one) or "unix:<path>", for the server that `builder`
  // will make, with its `credentials`. At most `max_connections` are open at once; one more is
  // closed as it comes. Errors: kUnavailable (no such host, the address cannot be bound).
  static Result<std::unique_ptr<GrpcListener>> Bind(
      const std::string& address, std::shared_ptr<grpc::ServerCredentials> credentials,
      int max_connections, grpc::ServerBuilder* builder);
  ~GrpcListener();  // Stop().

  const std::string& address() const { return address_; }  // With the bound port.

  // Once the server has been started. What came before has waited.
  void Start();
  // Before the server is shut down. Idempotent.
  void Stop();

 private:
  // A connection that gRPC has; the inode tells whether the descriptor is still that one.
  struct Connection {
    int fd = -1;
    uint64_t inode = 0;
  };

  GrpcListener(std::string address, int max_connections)
      : address_(std::move(address)), max_connections_(static_cast<size_t>(max_connections)) {}

  Status BindTcp();
  Status BindUnix(const std::string& path);
  void Run();
  // What waits at one listener. False: there is no descriptor for it.
  bool AcceptFrom(const Socket& listener);
  bool HasRoom();

  std::string address_;
  std::string unix_path_;  // To be removed; empty without.
  const size_t max_connections_;
  std::vector<Socket> listeners_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> grpc_;
  std::vector<Connection> open_;  // Of the thread, and no more than may be.
  bool full_ = false;             // Of the thread.
  std::atomic<bool> stopping_ = false;
  Interrupt stop_;
  std::jthread thread_;  // Last, so it is joined before anything it reads is destroyed.
};

}  // namespace pipeserve
