// HTTP as a test writes it.
#pragma once

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

namespace pipeserve {

// A client that sends exactly what a test says.
class RawClient {
 public:
  explicit RawClient(const std::string& address, SSL_CTX* tls = nullptr) {
    sockaddr_in peer{};
    peer.sin_family = AF_INET;
    peer.sin_port = htons(std::stoi(address.substr(address.rfind(':') + 1)));
    ::inet_pton(AF_INET, "127.0.0.1", &peer.sin_addr);
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    const timeval limit{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&peer), sizeof(peer)) == 0;
    if (tls == nullptr) return;
    ssl_ = SSL_new(tls);
    SSL_set_fd(ssl_, fd_);
    connected_ = connected_ && SSL_connect(ssl_) == 1;
  }
  ~RawClient() {
    SSL_free(ssl_);
    ::close(fd_);
  }

  bool connected() const { return connected_; }

  // False when the server does not take it all.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ssl_ != nullptr
                               ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                               : ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(sent);
    }
    return true;
  }

  // The next response with its body; what came before the end when the connection ends.
  std::string Receive() {
    while (!HasResponse()) {
      char part[4096];
      const ssize_t got =
          ssl_ != nullptr ? SSL_read(ssl_, part, sizeof(part)) : ::recv(fd_, part, sizeof(part), 0);
      if (got <= 0) return std::exchange(input_, "");
      input_.append(part, got);
    }
    std::string response = input_.substr(0, response_size_);
    input_.erase(0, response_size_);
    return response;
  }

  std::string Ask(std::string_view request) {
    Send(request);
    return Receive();
  }

 private:
  bool HasResponse() {
    const size_t head = input_.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    const std::string field = "Content-Length: ";
    const size_t at = input_.find(field);
    const size_t length = at < head ? std::stoul(input_.substr(at + field.size())) : 0;
    response_size_ = head + 4 + length;
    return input_.size() >= response_size_;
  }

  int fd_ = -1;
  SSL* ssl_ = nullptr;
  bool connected_ = false;
  std::string input_;
  size_t response_size_ = 0;
};

inline std::string Post(const std::string& url, const std::string& body,
                        const std::string& fields = "") {
  return "POST " + url + " HTTP/1.1\r\nHost: h\r\n" + fields +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

inline std::string PostJson(const std::string& url, const std::string& body) {
  return Post(url, body, "Content-Type: application/json\r\n");
}

inline std::string BodyOf(const std::string& response) {
  const size_t head = response.find("\r\n\r\n");
  return head == std::string::npos ? response : response.substr(head + 4);
}

}  // namespace pipeserve
