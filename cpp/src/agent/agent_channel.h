// The connection of an agent or launcher to its server.
#pragma once

#include <memory>
#include <string>

#include "pipeserve/agent.h"

namespace grpc {
class Channel;
}

namespace pipeserve {

// Does not connect. Comes back quickly to a server that was away, and notices one that is lost.
// Errors: kInvalidArgument (files or a token that cannot be used). The token is not the channel's:
// see AddToken().
Result<std::shared_ptr<grpc::Channel>> MakeAgentChannel(const std::string& address,
                                                        const AgentCredentials& credentials);

}  // namespace pipeserve
