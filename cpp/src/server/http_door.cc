#include "server/http_door.h"

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/str_cat.h"
#include "pipeserve/log.h"
#include "server/address.h"
#include "server/http_session.h"

namespace pipeserve {
namespace {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int kThreads = 3;
constexpr std::chrono::seconds kHttpCloseLimit{5};  // For clients that are slow to take an answer.
constexpr std::chrono::milliseconds kAcceptPause{100};  // When there is no file descriptor left.

Status LoadFailed(std::string_view what, const std::string& file) {
  return InvalidArgument(StrCat("Serving Error: load ", what, " from ", file, " failed"));
}

Result<std::unique_ptr<ssl::context>> MakeTlsContext(const SslOptions& options) {
  auto context = std::make_unique<ssl::context>(ssl::context::tls_server);
  error_code error;
  context->set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                       ssl::context::no_sslv3 | ssl::context::no_tlsv1);
  if (options.verify_client) {
    context->load_verify_file(options.custom_ca_file, error);
    if (error) return LoadFailed("root certificate", options.custom_ca_file);
    context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
  }
  // The key first: a certificate that does not fit is then told apart from a broken file.
  context->use_private_key_file(options.private_key_file, ssl::context::pem, error);
  if (error) return LoadFailed("private_key", options.private_key_file);
  context->use_certificate_chain_file(options.certificate_file, error);
  if (error) return LoadFailed("certificate_chain", options.certificate_file);
  if (SSL_CTX_check_private_key(context->native_handle()) != 1) {
    return InvalidArgument("Serving Error: private_key is not consistent with certificate");
  }
  return context;
}

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
  Impl(const ListenOptions& options, Dispatcher* dispatcher)
      : hub_(std::make_shared<HttpHub>(options, dispatcher)),
        work_(asio::make_work_guard(hub_->io)),
        acceptor_(asio::make_strand(hub_->io)),
        pause_(acceptor_.get_executor()) {}

  ~Impl() { Close(); }

  Status Open(const ListenOptions& options) {
    if (IsUnixAddress(options.address)) {
      return InvalidArgument("RESTful server does not support binding to unix domain socket");
    }
    PIPESERVE_ASSIGN_OR_RETURN(const HostPort where, ParseHostPort(options.address, "RESTful"));
    if (options.ssl.has_value()) {
      PIPESERVE_ASSIGN_OR_RETURN(tls_, MakeTlsContext(*options.ssl));
    }
    const error_code error = Listen(where, &hub_->io, &acceptor_);
    if (error) {
      return Unavailable(
          StrCat("Serving Error: RESTful server start failed, bind to the socket "
                 "address ",
                 options.address, " failed: ", error.message()));
    }
    address_ = StrCat(where.host, ":", acceptor_.local_endpoint().port());
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
    if (!hub_->WaitUntilEmpty(Deadline::After(kHttpCloseLimit))) {
      hub_->ForEach(&HttpConnection::Abort);
      hub_->WaitUntilEmpty(Deadline::Infinite());  // The dispatcher answers everything.
    }
    work_.reset();
    threads_.clear();
  }

 private:
  void Accept() {
    acceptor_.async_accept(asio::make_strand(hub_->io), [this](error_code error, tcp::socket peer) {
      if (closing_) return;
      if (error) return PauseAccepting(error);
      StartHttpSession(hub_, std::move(peer), tls_.get());
      Accept();
    });
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
  // Keeps the threads while the only work is an answer that the dispatcher will bring.
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::unique_ptr<ssl::context> tls_;
  tcp::acceptor acceptor_;  // This, the timer and the flag belong to the acceptor's strand.
  asio::steady_timer pause_;
  bool closing_ = false;
  std::string address_;
  Mutex close_mutex_;
  std::vector<std::jthread> threads_ GUARDED_BY(close_mutex_);
};

Result<std::unique_ptr<HttpDoor>> HttpDoor::Open(const ListenOptions& options,
                                                 Dispatcher* dispatcher) {
  auto impl = std::make_unique<Impl>(options, dispatcher);
  PIPESERVE_RETURN_IF_ERROR(impl->Open(options));
  return std::unique_ptr<HttpDoor>(new HttpDoor(std::move(impl)));
}

HttpDoor::HttpDoor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpDoor::~HttpDoor() = default;
const std::string& HttpDoor::address() const { return impl_->address(); }
void HttpDoor::Close() { impl_->Close(); }

}  // namespace pipeserve
