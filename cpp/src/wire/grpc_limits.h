// What a gRPC server puts up with from whoever connects.
#pragma once

#include <grpcpp/server_builder.h>

namespace pipeserve {

// A connection that does not open as HTTP/2, with TLS where that is wanted, within some seconds is
// closed, as are headers beyond 16 KB refused. For every server.
void LimitConnections(grpc::ServerBuilder* builder);

// Closes connections that carry no call for long, and those whose client does not answer any more.
// For servers whose clients come and go.
void LimitIdleConnections(grpc::ServerBuilder* builder);

}  // namespace pipeserve
