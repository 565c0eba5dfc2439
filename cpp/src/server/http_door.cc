#include "server/http_door.h"

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>
#include <future>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/str_cat.h"
#include "pipeserve/log.h"
#include "server/address.h"
#include "server/rest_service.h"

namespace pipeserve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int kThreads = 3;
constexpr std::chrono::seconds kIdleLimit{100};  // Of a connection that does not move.
constexpr std::chrono::seconds kLingerLimit{5};  // For a client that still sends when refused.
constexpr std::chrono::seconds kCloseLimit{5};   // For clients that are slow to take an answer.
constexpr std::chrono::milliseconds kAcceptPause{100};  // When there is no file descriptor left.
constexpr size_t kHeaderLimit = 16 << 10;
constexpr size_t kParserSlack = 64;  // So that the JSON parser reads the body where it is.

class Connection {
 public:
  virtual ~Connection() = default;
  // No further request; at once when none is being answered.
  virtual void Drain() = 0;
  // Closes the socket; an answer that comes later is dropped.
  virtual void Abort() = 0;
};

// What all connections share. Every connection keeps it alive, and with it the io_context.
class Hub {
 public:
  Hub(const ListenOptions& options, Dispatcher* dispatcher)
      : max_message_bytes(options.max_message_bytes),
        http_status_codes(options.http_status_codes),
        dispatcher(*dispatcher) {}

  void Add(std::weak_ptr<Connection> connection) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    connections_.insert(std::move(connection));
  }

  void Remove(const std::weak_ptr<Connection>& connection) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    connections_.erase(connection);
    if (connections_.empty()) empty_.NotifyAll();
  }

  // False when there are still connections at the deadline.
  bool WaitUntilEmpty(Deadline deadline) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (!connections_.empty()) {
      if (!empty_.WaitUntil(mutex_, deadline)) return connections_.empty();
    }
    return true;
  }

  void ForEach(void (Connection::*action)()) EXCLUDES(mutex_) {
    std::vector<std::shared_ptr<Connection>> alive;
    {
      MutexLock lock(mutex_);
      for (const auto& connection : connections_) alive.push_back(connection.lock());
    }
    for (const auto& connection : alive) {
      if (connection != nullptr) (connection.get()->*action)();
    }
  }

  const size_t max_message_bytes;
  const bool http_status_codes;
  Dispatcher& dispatcher;
  asio::io_context io;

 private:
  using Connections = std::set<std::weak_ptr<Connection>, std::owner_less<>>;

  Mutex mutex_;
  CondVar empty_;
  Connections connections_ GUARDED_BY(mutex_);
};

// One connection: reads a request, has it answered, writes the answer, reads the next; so answers
// to pipelined requests are in order. Everything runs on its strand.
template <typename Stream>
class Session final : public Connection, public std::enable_shared_from_this<Session<Stream>> {
 public:
  static constexpr bool kTls = !std::is_same_v<Stream, beast::tcp_stream>;

  Session(std::shared_ptr<Hub> hub, Stream stream)
      : hub_(std::move(hub)), stream_(std::move(stream)) {}
  ~Session() override { hub_->Remove(self_); }

  void Start() {
    self_ = this->shared_from_this();
    hub_->Add(self_);
    Post([](Session& session) { session.Handshake(); });
  }

  void Drain() override {
    Post([](Session& session) {
      session.draining_ = true;
      if (!session.answering_) session.CloseSocket();
    });
  }

  void Abort() override {
    Post([](Session& session) {
      session.draining_ = true;
      session.CloseSocket();
    });
  }

 private:
  template <typename Action>
  void Post(Action action) {
    asio::post(stream_.get_executor(),
               [self = this->shared_from_this(), action]() mutable { action(*self); });
  }

  // A handler that keeps this session alive and calls `step` with the error.
  auto Then(void (Session::*step)(error_code)) {
    return [self = this->shared_from_this(), step](error_code error, size_t = 0) {
      (self.get()->*step)(error);
    };
  }

  beast::tcp_stream& tcp_stream() { return beast::get_lowest_layer(stream_); }

  void CloseSocket() {
    error_code ignored;
    tcp_stream().socket().close(ignored);
  }

  void Handshake() {
    if constexpr (kTls) {
      tcp_stream().expires_after(kIdleLimit);
      stream_.async_handshake(ssl::stream_base::server, Then(&Session::OnHandshake));
    } else {
      ReadHeader();
    }
  }

  void OnHandshake(error_code error) {
    if (error) return CloseSocket();
    ReadHeader();
  }

  void ReadHeader() {
    answering_ = false;
    if (draining_) return CloseSocket();
    parser_.emplace();
    parser_->header_limit(kHeaderLimit);
    parser_->body_limit(hub_->max_message_bytes);
    tcp_stream().expires_after(kIdleLimit);
    http::async_read_header(stream_, input_, *parser_, Then(&Session::OnHeader));
  }

  void OnHeader(error_code error) {
    if (error) return OnReadError(error);
    if (parser_->get().method() != http::verb::post) {
      keep_alive_ = parser_->is_done() && parser_->keep_alive();
      return Respond(AnswerError(InvalidArgument("http message only support POST right now")));
    }
    const auto length = parser_->content_length();
    if (length.has_value()) parser_->get().body().reserve(*length + kParserSlack);
    if (beast::iequals(parser_->get()[http::field::expect], "100-continue")) {
      return WriteContinue();
    }
    ReadBody(error);
  }

  void WriteContinue() {
    response_.emplace(http::status::continue_, parser_->get().version());
    http::async_write(stream_, *response_, Then(&Session::ReadBody));
  }

  // Some at a time, so that a slow client has time as long as it moves.
  void ReadBody(error_code error) {
    if (error) return OnReadError(error);
    if (parser_->is_done()) return OnRequest();
    tcp_stream().expires_after(kIdleLimit);
    http::async_read_some(stream_, input_, *parser_, Then(&Session::ReadBody));
  }

  void OnReadError(error_code error) {
    keep_alive_ = false;
    if (error == http::error::body_limit) {
      RestAnswer answer = AnswerError(
          InvalidArgument(StrCat("http message is bigger than ", hub_->max_message_bytes)));
      answer.http_status = 413;
      return Respond(std::move(answer));
    }
    const bool is_http = error.category() == error_code(http::error::bad_method).category();
    if (!is_http || error == http::error::end_of_stream || error == http::error::partial_message) {
      return CloseSocket();
    }
    // No HTTP at all, so no client of the original sees this status.
    RestAnswer answer = AnswerError(InvalidArgument(StrCat("bad HTTP: ", error.message())));
    WriteResponse(http::status::bad_request, std::move(answer.body));
  }

  void OnRequest() {
    keep_alive_ = parser_->keep_alive();
    Result<ClientRequest> request = ReadRestRequest(
        {parser_->get().target().data(), parser_->get().target().size()}, parser_->get().body());
    if (!request.ok()) return Respond(AnswerError(request.status()));
    parser_->get().body() = {};  // The tensors have the bytes; a request may wait for long.
    answering_ = true;
    hub_->dispatcher.Dispatch(
        *std::move(request), [self = this->shared_from_this()](ClientReply reply) {
          asio::post(self->stream_.get_executor(),
                     [self, reply = std::move(reply)] { self->Respond(AnswerReply(reply)); });
        });
  }

  void Respond(RestAnswer answer) {
    const int status = hub_->http_status_codes ? answer.http_status : 200;
    WriteResponse(static_cast<http::status>(status), std::move(answer.body));
  }

  void WriteResponse(http::status status, std::string body) {
    answering_ = true;
    keep_alive_ = keep_alive_ && !draining_;
    response_.emplace(status, parser_->get().version() == 10 ? 10 : 11);
    response_->set(http::field::content_type, "application/json");
    response_->keep_alive(keep_alive_);
    response_->body() = std::move(body);
    response_->prepare_payload();
    tcp_stream().expires_after(kIdleLimit);
    http::async_write(stream_, *response_, Then(&Session::OnWritten));
  }

  void OnWritten(error_code error) {
    response_.reset();
    if (error) return CloseSocket();
    if (keep_alive_) return ReadHeader();
    // Closing while the client still sends would destroy the answer on its way.
    answering_ = false;
    if (draining_) return CloseSocket();
    if constexpr (!kTls) tcp_stream().socket().shutdown(tcp::socket::shutdown_send, error);
    tcp_stream().expires_after(kLingerLimit);
    Linger(error);
  }

  void Linger(error_code error) {
    if (error) return CloseSocket();
    rest_.resize(64 << 10);
    stream_.async_read_some(asio::buffer(rest_), Then(&Session::Linger));
  }

  const std::shared_ptr<Hub> hub_;  // First: destroyed after the stream, which uses its context.
  std::weak_ptr<Connection> self_;
  Stream stream_;
  beast::flat_buffer input_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> response_;
  std::vector<char> rest_;
  bool keep_alive_ = true;
  bool answering_ = false;  // A request is with the dispatcher or its answer is being written.
  bool draining_ = false;
};

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
      : hub_(std::make_shared<Hub>(options, dispatcher)),
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
    std::promise<void> drained;  // After it no connection is added.
    asio::post(acceptor_.get_executor(), [this, &drained] {
      closing_ = true;
      error_code ignored;
      acceptor_.close(ignored);
      pause_.cancel();
      hub_->ForEach(&Connection::Drain);
      drained.set_value();
    });
    drained.get_future().wait();
    if (!hub_->WaitUntilEmpty(Deadline::After(kCloseLimit))) {
      hub_->ForEach(&Connection::Abort);
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
      StartSession(std::move(peer));
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

  void StartSession(tcp::socket peer) {
    error_code ignored;
    peer.set_option(tcp::no_delay(true), ignored);
    beast::tcp_stream stream(std::move(peer));
    if (tls_ == nullptr) {
      std::make_shared<Session<beast::tcp_stream>>(hub_, std::move(stream))->Start();
    } else {
      using TlsStream = beast::ssl_stream<beast::tcp_stream>;
      std::make_shared<Session<TlsStream>>(hub_, TlsStream(std::move(stream), *tls_))->Start();
    }
  }

  const std::shared_ptr<Hub> hub_;
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
