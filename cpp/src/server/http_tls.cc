#include "server/http_tls.h"

#include <chrono>
#include <string>
#include <utility>

#include "base/tls_files.h"
#include "pipeserve/log.h"

namespace pipeserve {
namespace {

namespace ssl = boost::asio::ssl;

constexpr std::chrono::seconds kLookEvery{1};

}  // namespace

Result<std::unique_ptr<HttpTls>> HttpTls::Create(const SslOptions& options, const Clock& clock) {
  PIPESERVE_RETURN_IF_ERROR(CheckComplete(options));
  std::unique_ptr<HttpTls> tls(new HttpTls(options, clock));
  PIPESERVE_RETURN_IF_ERROR(tls->Load());
  return tls;
}

ssl::context* HttpTls::Current() {
  if (!next_look_.HasPassed(clock_)) return context_.get();
  next_look_ = Deadline::After(kLookEvery, clock_);
  const Stamps stamps =
      ReadStamps();  // Before the files: what changes meanwhile is seen next time.
  if (stamps == stamps_) return context_.get();
  stamps_ = stamps;
  const Status status = Load();
  if (status.ok()) {
    Log(LogLevel::kInfo, "certificates were read again", {{"file", options_.certificate_file}});
  } else {
    Log(LogLevel::kWarning, "changed certificates cannot be used", {{"error", status.message()}});
  }
  return context_.get();
}

HttpTls::Stamps HttpTls::ReadStamps() const {
  Stamps stamps;
  const TlsFiles files = FilesOf(options_);
  const std::array<const std::string*, 3> names = {&files.certificate, &files.private_key,
                                                   &files.authorities};
  for (size_t i = 0; i < names.size(); ++i) {
    struct stat found {};
    if (names[i]->empty() || ::stat(names[i]->c_str(), &found) != 0) continue;
    constexpr int64_t kNanoseconds = 1'000'000'000;
    stamps[i] = {.device = found.st_dev,
                 .inode = found.st_ino,
                 .size = found.st_size,
                 .changed_ns = found.st_mtim.tv_sec * kNanoseconds + found.st_mtim.tv_nsec};
  }
  return stamps;
}

Status HttpTls::Load() {
  auto context = std::make_unique<ssl::context>(ssl::context::tls_server);
  context->set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 |
                       ssl::context::no_sslv3 | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  if (options_.verify_client) {
    context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
    // Without it clients that take up an earlier session are turned away.
    constexpr unsigned char kSessions[] = "pipeserve";
    SSL_CTX_set_session_id_context(context->native_handle(), kSessions, sizeof(kSessions) - 1);
  }
  PIPESERVE_RETURN_IF_ERROR(LoadTlsFiles(FilesOf(options_), context->native_handle()));
  context_ = std::move(context);
  return OkStatus();
}

}  // namespace pipeserve
