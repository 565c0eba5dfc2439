// Notices that a peer is gone while nobody reads from its connection.
#pragma once

#include <atomic>
#include <functional>
#include <span>
#include <thread>
#include <vector>

#include "base/socket.h"

namespace pipeserve {

// A thread that waits on idle connections for their end. A peer that sends anything counts as gone
// too: it does not keep to the protocol.
class PeerWatch {
 public:
  // `sockets` is indexed by rank and outlives this; closed ones are not watched. `on_gone` is
  // called by the thread, once for every peer that goes, after IsGone(peer) has become true.
  PeerWatch(std::span<const Socket> sockets, std::function<void()> on_gone);
  // Ends the connections.
  ~PeerWatch();

  bool IsGone(int rank) const { return gone_[rank].load(std::memory_order_acquire); }
  // True for one that is gone and reset its connection, as ranks do that break or abort. One that
  // left in order, or was killed, only ended it.
  bool IsReset(int rank) const { return reset_[rank].load(std::memory_order_acquire); }

 private:
  void Run();

  const std::span<const Socket> sockets_;
  const std::function<void()> on_gone_;
  std::vector<std::atomic<bool>> gone_, reset_;
  std::vector<pollfd> polled_;  // By rank; those that are gone have no descriptor.
  std::jthread thread_;         // Last: it uses the others.
};

}  // namespace pipeserve
