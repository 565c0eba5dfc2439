#include "server/http_session.h"

#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::seconds kIdleLimit{100};  // Of a connection that does not move.
constexpr std::chrono::seconds kLingerLimit{5};  // For a client that still sends when refused.
constexpr size_t kHeaderLimit = 16 << 10;
constexpr size_t kAheadStep = 4 << 10;  // What a client may send ahead, at a time and in all.
constexpr size_t kAheadLimit = 64 << 10;
constexpr size_t kParserSlack = 64;  // So that the JSON parser reads the body where it is.

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

// One connection: reads a request, has it answered, writes the answer, reads the next; so answers
// to pipelined requests are in order. Everything runs on its strand.
template <typename Stream>
class Session final : public HttpConnection, public std::enable_shared_from_this<Session<Stream>> {
 public:
  static constexpr bool kTls = !std::is_same_v<Stream, beast::tcp_stream>;

  Session(std::shared_ptr<HttpHub> hub, Stream stream)
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
    if (parser_->get().method() != http::verb::post) return AnswerWithoutBody();
    const auto length = parser_->content_length();
    if (length.has_value()) parser_->get().body().reserve(*length + kParserSlack);
    if (beast::iequals(parser_->get()[http::field::expect], "100-continue")) {
      return WriteContinue();
    }
    ReadBody(error);
  }

  void AnswerWithoutBody() {
    keep_alive_ = parser_->is_done() && parser_->keep_alive();
    Respond(hub_->service->AnswerAtOnce(View(parser_->get().method_string()),
                                        View(parser_->get().target())));
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
      return Respond(hub_->service->Refuse(
          413, StrCat("http message is bigger than ", hub_->max_message_bytes)));
    }
    const bool is_http = error.category() == error_code(http::error::bad_method).category();
    if (!is_http || error == http::error::end_of_stream || error == http::error::partial_message) {
      return CloseSocket();
    }
    HttpAnswer answer = hub_->service->Refuse(400, StrCat("bad HTTP: ", error.message()));
    answer.http_status = 400;  // No HTTP at all, so no client of the original sees this status.
    Respond(std::move(answer));
  }

  void OnRequest() {
    keep_alive_ = parser_->keep_alive();
    answering_ = true;
    cancel_ = std::make_shared<CancelToken>();
    Watch();
    hub_->service->Post(TakeRequest(),
                        [self = this->shared_from_this()](HttpService::MakeAnswer make) {
                          asio::post(self->stream_.get_executor(),
                                     [self, make = std::move(make)] { self->OnReply(make()); });
                        });
  }

  HttpRequest TakeRequest() {
    auto& message = parser_->get();
    HttpRequest request{.url = std::string(View(message.target())),
                        .body = std::move(message.body()),
                        .content_type = std::string(View(message[http::field::content_type])),
                        .origin = std::string(View(message[http::field::origin])),
                        .cancel = cancel_};
    const auto field = message.find({kTimeoutField.data(), kTimeoutField.size()});
    if (field != message.end()) request.timeout = View(field->value());
    return request;
  }

  // While a request is being answered, reading tells when the client leaves; what it sends ahead
  // is kept for the next request. A client that only closes its sending side counts as one that
  // leaves, as with other servers: nothing tells the two apart.
  void Watch() {
    watching_ = true;
    tcp_stream().expires_never();
    stream_.async_read_some(input_.prepare(kAheadStep),
                            [self = this->shared_from_this()](error_code error, size_t size) {
                              self->OnWatched(error, size);
                            });
  }

  void OnWatched(error_code error, size_t size) {
    watching_ = false;
    input_.commit(size);
    if (reply_.has_value()) return Respond(*std::exchange(reply_, std::nullopt));
    if (error) {
      keep_alive_ = false;
      return cancel_->Raise();
    }
    if (input_.size() < kAheadLimit) Watch();
  }

  void OnReply(HttpAnswer answer) {
    if (!watching_) return Respond(std::move(answer));
    reply_ = std::move(answer);
    tcp_stream().cancel();  // Ends the watch, which then responds.
  }

  void Respond(HttpAnswer answer) {
    answering_ = true;
    keep_alive_ = keep_alive_ && !draining_;
    response_.emplace(static_cast<http::status>(answer.http_status),
                      parser_->get().version() == 10 ? 10 : 11);
    response_->set(http::field::content_type, "application/json");
    if (answer.retry_after.count() > 0) {
      response_->set(http::field::retry_after, std::to_string(answer.retry_after.count()));
    }
    if (!answer.allow.empty()) {
      response_->set(http::field::allow, {answer.allow.data(), answer.allow.size()});
    }
    response_->keep_alive(keep_alive_);
    response_->body() = std::move(answer.body);
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

  const std::shared_ptr<HttpHub>
      hub_;  // First: destroyed after the stream, which uses its context.
  std::weak_ptr<HttpConnection> self_;
  Stream stream_;
  beast::flat_buffer input_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> response_;
  std::shared_ptr<CancelToken> cancel_;  // Of the request that is being answered.
  std::optional<HttpAnswer> reply_;      // Waits for the end of the watch.
  bool watching_ = false;
  std::vector<char> rest_;
  bool keep_alive_ = true;
  bool answering_ = false;  // A request is with the service or its answer is being written.
  bool draining_ = false;
};

}  // namespace

void HttpHub::Add(std::weak_ptr<HttpConnection> connection) {
  MutexLock lock(mutex_);
  connections_.insert(std::move(connection));
}

void HttpHub::Remove(const std::weak_ptr<HttpConnection>& connection) {
  MutexLock lock(mutex_);
  connections_.erase(connection);
  if (connections_.empty()) empty_.NotifyAll();
}

size_t HttpHub::connections() const {
  MutexLock lock(mutex_);
  return connections_.size();
}

bool HttpHub::WaitUntilEmpty(Deadline deadline) {
  MutexLock lock(mutex_);
  while (!connections_.empty()) {
    if (!empty_.WaitUntil(mutex_, deadline)) return connections_.empty();
  }
  return true;
}

void HttpHub::ForEach(void (HttpConnection::*action)()) {
  std::vector<std::shared_ptr<HttpConnection>> alive;
  {
    MutexLock lock(mutex_);
    for (const auto& connection : connections_) alive.push_back(connection.lock());
  }
  for (const auto& connection : alive) {
    if (connection != nullptr) (connection.get()->*action)();
  }
}

void StartHttpSession(std::shared_ptr<HttpHub> hub, tcp::socket peer, ssl::context* tls) {
  error_code ignored;
  peer.set_option(tcp::no_delay(true), ignored);
  beast::tcp_stream stream(std::move(peer));
  if (tls == nullptr) {
    std::make_shared<Session<beast::tcp_stream>>(std::move(hub), std::move(stream))->Start();
    return;
  }
  using TlsStream = beast::ssl_stream<beast::tcp_stream>;
  std::make_shared<Session<TlsStream>>(std::move(hub), TlsStream(std::move(stream), *tls))->Start();
}

}  // namespace pipeserve
