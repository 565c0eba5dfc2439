// The files that TLS is spoken with, as OpenSSL takes them.
#pragma once

#include <openssl/ssl.h>

#include <string>

#include "pipeserve/ssl_options.h"
#include "pipeserve/status.h"

namespace pipeserve {

// PEM files; an empty name is none.
struct TlsFiles {
  std::string certificate;  // With private_key, or neither.
  std::string private_key;
  std::string authorities;  // Verify the other end.
};

TlsFiles FilesOf(const SslOptions& options);
TlsFiles FilesOf(const ClientSslOptions& options);

// Whether a door has what it needs. Errors: kInvalidArgument (no certificate, or nothing to verify
// clients by).
Status CheckComplete(const SslOptions& options);

// Gives them to a context. Errors: kInvalidArgument, naming the file that cannot be used, or that
// key and certificate do not belong together.
Status LoadTlsFiles(const TlsFiles& files, SSL_CTX* context);

// Whether LoadTlsFiles() would take them.
Status CheckTlsFiles(const TlsFiles& files);

}  // namespace pipeserve
