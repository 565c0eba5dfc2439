#include "executor/peer_watch.h"

#include <sys/socket.h>

#include <algorithm>

namespace pipeserve {

PeerWatch::PeerWatch(std::span<const Socket> sockets, std::function<void()> on_gone)
    : sockets_(sockets),
      on_gone_(std::move(on_gone)),
      gone_(sockets.size()),
      reset_(sockets.size()) {
  for (const Socket& socket : sockets_) {
    polled_.push_back({.fd = socket.fd(), .events = POLLIN, .revents = 0});
  }
  thread_ = std::jthread([this] { Run(); });
}

// The thread sees the end of every connection and has nothing left to watch.
PeerWatch::~PeerWatch() {
  for (const Socket& socket : sockets_) {
    if (socket.is_open()) shutdown(socket.fd(), SHUT_RDWR);
  }
}

void PeerWatch::Run() {
  const auto watched = [](const pollfd& each) { return each.fd >= 0; };  // poll() skips the rest.
  while (std::ranges::any_of(polled_, watched)) {
    const bool can_watch = PollUntil(polled_, Deadline::Infinite()).ok();
    for (size_t rank = 0; rank < polled_.size(); ++rank) {
      if (!watched(polled_[rank])) continue;
      // Without a watch over its peers a rank could wait for ever, so that they count as gone.
      if (can_watch && polled_[rank].revents == 0) continue;
      polled_[rank].fd = -1;
      const bool reset = !can_watch || (polled_[rank].revents & (POLLERR | POLLHUP)) != 0;
      reset_[rank].store(reset, std::memory_order_release);
      gone_[rank].store(true, std::memory_order_release);
      on_gone_();
    }
  }
}

}  // namespace pipeserve
