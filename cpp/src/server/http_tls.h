// How the REST door speaks TLS: with files that are read again when they change.
#pragma once

#include <sys/stat.h>

#include <array>
#include <boost/asio/ssl/context.hpp>
#include <memory>

#include "base/clock.h"
#include "pipeserve/server.h"

namespace pipeserve {

// For one thread at a time.
class HttpTls {
 public:
  // Errors: kInvalidArgument (files that cannot be used).
  static Result<std::unique_ptr<HttpTls>> Create(const SslOptions& options,
                                                 const Clock& clock = Clock::System());

  // For a connection that begins; valid until the next call. Looks at the files at most once a
  // second; what cannot be used, as in the middle of an exchange, is logged, and the context before
  // stays.
  boost::asio::ssl::context* Current();

 private:
  // What tells whether a file is still the same.
  struct Stamp {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = 0;
    int64_t changed_ns = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  using Stamps = std::array<Stamp, 3>;

  HttpTls(const SslOptions& options, const Clock& clock)
      : options_(options), clock_(clock), stamps_(ReadStamps()) {}
  Stamps ReadStamps() const;
  Status Load();

  const SslOptions options_;
  const Clock& clock_;
  Stamps stamps_;
  Deadline next_look_{TimePoint()};
  std::unique_ptr<boost::asio::ssl::context> context_;
};

}  // namespace pipeserve
