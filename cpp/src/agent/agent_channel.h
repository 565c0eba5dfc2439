// The connection of an agent or launcher to its server.
#pragma once

#include <memory>
#include <string>

namespace grpc {
class Channel;
}

namespace pipeserve {

// Does not connect. Comes back quickly to a server that was away, and notices one that is lost.
std::shared_ptr<grpc::Channel> MakeAgentChannel(const std::string& address);

}  // namespace pipeserve
