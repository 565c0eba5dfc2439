#include "base/tls_files.h"

#include <openssl/err.h>

#include <memory>
#include <string_view>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

// What OpenSSL thought of it would otherwise be taken for the error of a later call.
Status Refused(std::string text) {
  ERR_clear_error();
  return InvalidArgument(std::move(text));
}

Status LoadFailed(std::string_view what, const std::string& file) {
  return Refused(StrCat("Serving Error: load ", what, " from ", file, " failed"));
}

}  // namespace

TlsFiles FilesOf(const SslOptions& options) {
  return {options.certificate_file, options.private_key_file,
          options.verify_client ? options.custom_ca_file : ""};
}

TlsFiles FilesOf(const ClientSslOptions& options) {
  return {options.certificate_file, options.private_key_file, options.custom_ca_file};
}

Status CheckComplete(const SslOptions& options) {
  if (options.certificate_file.empty() || options.private_key_file.empty()) {
    return InvalidArgument("a door that speaks TLS needs certificate_file and private_key_file");
  }
  if (options.verify_client && options.custom_ca_file.empty()) {
    return InvalidArgument("a door that verifies clients needs custom_ca_file");
  }
  return OkStatus();
}

Status LoadTlsFiles(const TlsFiles& files, SSL_CTX* context) {
  if (files.certificate.empty() != files.private_key.empty()) {
    return InvalidArgument("The certificate and private_key should be passed at the same time");
  }
  const std::string& authorities = files.authorities;
  if (!authorities.empty() &&
      SSL_CTX_load_verify_locations(context, authorities.c_str(), nullptr) != 1) {
    return LoadFailed("root certificate", authorities);
  }
  if (files.certificate.empty()) return OkStatus();
  // The key first: a certificate that does not fit is then told apart from a broken file.
  if (SSL_CTX_use_PrivateKey_file(context, files.private_key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return LoadFailed("private_key", files.private_key);
  }
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
    return LoadFailed("certificate_chain", files.certificate);
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    return Refused("Serving Error: private_key is not consistent with certificate");
  }
  return OkStatus();
}

Status CheckTlsFiles(const TlsFiles& files) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_method()),
                                                                  &SSL_CTX_free);
  if (context == nullptr) return Internal("OpenSSL makes no context");
  return LoadTlsFiles(files, context.get());
}

}  // namespace pipeserve
