// The token that agents and launchers show to the door of their server: the same text at both ends.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <string>

#include "pipeserve/status.h"

namespace pipeserve {

// The environment variable that may hold it.
inline constexpr char kTokenVariable[] = "PIPESERVE_AGENT_TOKEN";

// The first line of a file, which is all that it may have. Errors: kInvalidArgument (unreadable,
// empty; as CheckTokenText()).
Result<std::string> ReadTokenFile(const std::string& path);

// Errors: kInvalidArgument (too short to be a secret, or nothing that a header can carry). An empty
// token is none, and allowed.
Status CheckTokenText(const std::string& token);

// Sends it along, unless it is empty.
void AddToken(const std::string& token, grpc::ClientContext* context);

// Whether whoever calls has the token; an empty one is not asked for. Errors: kUnauthenticated.
Status CheckToken(const std::string& token, const grpc::ServerContextBase& context);

}  // namespace pipeserve
