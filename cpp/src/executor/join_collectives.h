// How the ranks of a group get a Communicator.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "executor/communicator.h"
#include "executor/socket_mesh.h"

namespace pipeserve {

enum class Collectives : uint32_t {
  kAuto,          // Shared memory if all ranks can have it, sockets otherwise.
  kSharedMemory,  // An error if they cannot.
  kSockets,
  kGloo,
};

// GlooCommunicator::Connect(), for programs that are linked with Gloo.
using ConnectGloo = Result<std::shared_ptr<Communicator>> (*)(int rank, const std::string& host,
                                                              std::vector<Socket> mesh,
                                                              const WaitLimit& limit);

// Connects `rank` with every other rank of `peers` (an address per rank) for `epoch`, and agrees
// with them on what carries their collectives: all ranks of one group use the same. They share
// memory if all run on one host as one user and none was told otherwise; a group that falls back to
// sockets says why in one log line of rank 0. One that is told to use Gloo makes all use it that
// were not told otherwise.
//
// Errors: those of ConnectMesh() and `gloo`; kFailedPrecondition (shared memory was demanded and is
// not to be had, Gloo was demanded by one rank and something else by another, or `gloo` is null;
// the message tells).
Result<std::shared_ptr<Communicator>> JoinCollectives(const SocketListener& listener, int rank,
                                                      std::span<const std::string> peers,
                                                      const GroupEpoch& epoch,
                                                      const WaitLimit& limit,
                                                      Collectives wanted = Collectives::kAuto,
                                                      ConnectGloo gloo = nullptr);

}  // namespace pipeserve
