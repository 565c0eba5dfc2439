#include "wire/grpc_credentials.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include "base/tls_files.h"

namespace pipeserve {
namespace {

namespace tls = grpc::experimental;

constexpr unsigned int kRefreshSeconds = 1;

std::shared_ptr<tls::CertificateProviderInterface> Watch(const TlsFiles& files) {
  return std::make_shared<tls::FileWatcherCertificateProvider>(files.private_key, files.certificate,
                                                               files.authorities, kRefreshSeconds);
}

}  // namespace

Result<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const std::optional<SslOptions>& ssl) {
  if (!ssl.has_value()) return grpc::InsecureServerCredentials();
  PIPESERVE_RETURN_IF_ERROR(CheckComplete(*ssl));
  const TlsFiles files = FilesOf(*ssl);
  PIPESERVE_RETURN_IF_ERROR(CheckTlsFiles(files));
  tls::TlsServerCredentialsOptions options(Watch(files));
  options.watch_identity_key_cert_pairs();
  if (ssl->verify_client) {
    options.watch_root_certs();
    options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return tls::TlsServerCredentials(options);
}

Result<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(
    const std::optional<ClientSslOptions>& ssl) {
  if (!ssl.has_value()) return grpc::InsecureChannelCredentials();
  const TlsFiles files = FilesOf(*ssl);
  PIPESERVE_RETURN_IF_ERROR(CheckTlsFiles(files));
  tls::TlsChannelCredentialsOptions options;
  if (!files.authorities.empty()) options.watch_root_certs();
  if (!files.certificate.empty()) options.watch_identity_key_cert_pairs();
  if (!files.authorities.empty() || !files.certificate.empty()) {
    options.set_certificate_provider(Watch(files));
  }
  return tls::TlsCredentials(options);
}

}  // namespace pipeserve
