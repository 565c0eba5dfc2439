// How the ranks of a group find each other: one TCP connection per pair.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/socket.h"
#include "executor/group_epoch.h"

namespace pipeserve {

// The door of one rank. Opened before the rank tells its address to anybody; used for one epoch
// after the other, by one thread at a time.
class SocketListener {
 public:
  // `address` is "ip:port"; port 0 picks a free one. Errors: kInvalidArgument, kUnavailable.
  static Result<SocketListener> Open(const std::string& address);

  const std::string& address() const { return address_; }  // With the bound port.
  const Socket& socket() const { return socket_; }

 private:
  SocketListener(Socket socket, std::string address)
      : socket_(std::move(socket)), address_(std::move(address)) {}

  Socket socket_;
  std::string address_;
};

// Connects `rank` with every other rank of `peers` (an address per rank) for `epoch`: it dials the
// lower ranks and is dialled by the higher ones. The result is indexed by rank, its own socket
// closed. Both ends of a connection prove to each other that they know the secret of the epoch,
// which is not sent. Connections of strangers and of other epochs are refused and waited past.
// Every epoch is tried at most once with a listener.
//
// Errors: kInvalidArgument, kUnavailable (nobody listens at a peer's address),
// kDeadlineExceeded (names the ranks that did not come), kAborted (interrupted).
Result<std::vector<Socket>> ConnectMesh(const SocketListener& listener, int rank,
                                        std::span<const std::string> peers, const GroupEpoch& epoch,
                                        const WaitLimit& limit);

}  // namespace pipeserve
