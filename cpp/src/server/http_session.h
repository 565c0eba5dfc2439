// The connections of an HTTP door: each reads requests, has them answered and writes the answers.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <set>
#include <utility>

#include "base/mutex.h"
#include "pipeserve/server.h"
#include "server/http_service.h"

namespace pipeserve {

class HttpConnection {
 public:
  virtual ~HttpConnection() = default;
  // No further request; at once when none is being answered.
  virtual void Drain() = 0;
  // Closes the socket; an answer that comes later is dropped.
  virtual void Abort() = 0;
};

// What all connections share. Every connection keeps it alive, and with it the io_context.
// Thread-safe.
class HttpHub {
 public:
  HttpHub(const ListenOptions& options, std::unique_ptr<HttpService> service)
      : max_message_bytes(options.max_message_bytes), service(std::move(service)) {}

  void Add(std::weak_ptr<HttpConnection> connection) EXCLUDES(mutex_);
  void Remove(const std::weak_ptr<HttpConnection>& connection) EXCLUDES(mutex_);
  size_t connections() const EXCLUDES(mutex_);
  // False when there are still connections at the deadline.
  bool WaitUntilEmpty(Deadline deadline) EXCLUDES(mutex_);
  void ForEach(void (HttpConnection::*action)()) EXCLUDES(mutex_);

  const size_t max_message_bytes;
  const std::unique_ptr<HttpService> service;
  boost::asio::io_context io;

 private:
  using Connections = std::set<std::weak_ptr<HttpConnection>, std::owner_less<>>;

  mutable Mutex mutex_;
  CondVar empty_;
  Connections connections_ GUARDED_BY(mutex_);
};

// Serves a client that has just connected until it leaves or the hub sends it away; over TLS when
// `tls` is not null, which is needed only now.
void StartHttpSession(std::shared_ptr<HttpHub> hub, boost::asio::ip::tcp::socket peer,
                      boost::asio::ssl::context* tls);

}  // namespace pipeserve
