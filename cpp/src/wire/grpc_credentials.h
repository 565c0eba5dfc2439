// TLS for gRPC, with files that are read again when they change.
#pragma once

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <optional>

#include "pipeserve/ssl_options.h"
#include "pipeserve/status.h"

namespace pipeserve {

// Without options neither encrypts nor verifies. Connections keep what they began with; new ones
// see changed files within about a second. While key and certificate do not fit together, as in the
// middle of an exchange, new connections fail.
//
// Errors: kInvalidArgument (files that cannot be used).
Result<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const std::optional<SslOptions>& ssl);
Result<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(
    const std::optional<ClientSslOptions>& ssl);

}  // namespace pipeserve
