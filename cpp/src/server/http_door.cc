#include "server/http_door.h"

#include <boost/asio.hpp>
#include <chrono>
#include <future>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/str_cat.h"
#include "pipeserve/log.h"
#include "server/address.h"
#include "server/http_session.h"
#include "server/http_tls.h"

namespace pipeserve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int kThreads = 3;
constexpr std::chrono::seconds kHttpCloseLimit{5};  // For clients that are slow to take an answer.
constexpr std::chrono::milliseconds kAcceptPause{100};  // When there is no file descriptor left.

// Errors: those of the operating system.
error_code Listen(const HostPort& where, asio::io_context* io, tcp::acceptor* acceptor) {
  error_code error;
  tcp::resolver resolver(*io);
  const auto found =
      resolver.resolve(where.host, std::to_string(where.port), tcp::resolver::passive, error);
  if (error) return error;
  const tcp::endpoint endpoint = *found.begin();
  acceptor->open(endpoint.protocol(), error);
  if (!error) acceptor->set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor->bind(endpoint, error);
  if (!error) acceptor->listen(asio::socket_base::max_listen_connections, error);
  return error;
}

}  // namespace

class HttpDoor::Impl {
 public:
  Impl(const ListenOptions& options, std::unique_ptr<HttpService> service)
      : hub_(std::make_shared<HttpHub>(options, std::move(service))),
        work_(asio::make_work_guard(hub_->io)),
        max_connections_(static_cast<size_t>(options.max_connections)),
        acceptor_(asio::make_strand(hub_->io)),
        pause_(acceptor_.get_executor()) {}

  ~Impl() { Close(); }

  Status Open(const ListenOptions& options) {
    const std::string_view name = hub_->service->name();
    if (IsUnixAddress(options.address)) {
      return InvalidArgument(
          StrCat(name, " server does not support binding to unix domain socket"));
    }
    PIPESERVE_ASSIGN_OR_RETURN(const HostPort where, ParseHostPort(options.address, name));
    if (options.ssl.has_value()) {
      PIPESERVE_ASSIGN_OR_RETURN(tls_, HttpTls::Create(*options.ssl));
    }
    const error_code error = Listen(where, &hub_->io, &acceptor_);
    if (error) {
      return Unavailable(StrCat("Serving Error: ", name,
                                " server start failed, bind to the socket address ",
                                options.address, " failed: ", error.message()));
    }
    const bool is_ipv6 = where.host.find(':') != std::string::npos;
    address_ = StrCat(is_ipv6 ? "[" : "", where.host, is_ipv6 ? "]:" : ":",
                      acceptor_.local_endpoint().port());
    Accept();
    for (int i = 0; i < kThreads; ++i) {
      threads_.emplace_back([hub = hub_] { hub->io.run(); });
    }
    return OkStatus();
  }

  const std::string& address() const { return address_; }

  void Close() EXCLUDES(close_mutex_) {
    MutexLock lock(close_mutex_);
    if (threads_.empty()) return;
    // After it no connection is added. Shared, because set_value() may still run when wait()
    // returns.
    const auto drained = std::make_shared<std::promise<void>>();
    std::future<void> is_drained = drained->get_future();
    asio::post(acceptor_.get_executor(), [this, drained] {
      closing_ = true;
      error_code ignored;
      acceptor_.close(ignored);
      pause_.cancel();
      hub_->ForEach(&HttpConnection::Drain);
      drained->set_value();
    });
    is_drained.wait();
    hub_->service->Close();
    if (!hub_->WaitUntilEmpty(Deadline::After(kHttpCloseLimit))) {
      hub_->ForEach(&HttpConnection::Abort);
      hub_->WaitUntilEmpty(Deadline::Infinite());  // The service answers everything.
    }
    work_.reset();
    threads_.clear();
  }

 private:
  void Accept() {
    acceptor_.async_accept(asio::make_strand(hub_->io), [this](error_code error, tcp::socket peer) {
      if (closing_) return;
      if (error) return PauseAccepting(error);
      if (HasRoom()) {
        StartHttpSession(hub_, std::move(peer), tls_ == nullptr ? nullptr : tls_->Current());
      } else {
        peer.close(error);
      }
      Accept();
    });
  }

  // Says so once when there is none.
  bool HasRoom() {
    const bool full = hub_->connections() >= max_connections_;
    if (full && !std::exchange(full_, true)) {
      Log(LogLevel::kWarning, "connections are refused, there are as many as may be",
          {{"address", address_}, {"max_connections", std::to_string(max_connections_)}});
    }
    full_ = full;
    return !full;
  }

  void PauseAccepting(error_code error) {
    Log(LogLevel::kWarning, "cannot accept a connection",
        {{"address", address_}, {"error", error.message()}});
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](error_code cancelled) {
      if (!cancelled && !closing_) Accept();
    });
  }

  const std::shared_ptr<HttpHub> hub_;
  // Keeps the threads while the only work is an answer that the service will bring.
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  const size_t max_connections_;
  std::unique_ptr<HttpTls> tls_;  // From here to the flags all belongs to the acceptor's strand.
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  bool closing_ = false;
  bool full_ = false;
  std::string address_;
  Mutex close_mutex_;
  std::vector<std::jthread> threads_ GUARDED_BY(close_mutex_);
};

Result<std::unique_ptr<HttpDoor>> HttpDoor::Open(const ListenOptions& options,
                                                 std::unique_ptr<HttpService> service) {
  auto impl = std::make_unique<Impl>(options, std::move(service));
  PIPESERVE_RETURN_IF_ERROR(impl->Open(options));
  return std::unique_ptr<HttpDoor>(new HttpDoor(std::move(impl)));
}

HttpDoor::HttpDoor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpDoor::~HttpDoor() = default;
const std::string& HttpDoor::address() const { return impl_->address(); }
void HttpDoor::Close() { impl_->Close(); }

}  // namespace pipeserve
