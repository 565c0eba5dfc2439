// How the ranks of a group get a Communicator.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "executor/communicator.h"
#include "executor/socket_mesh.h"

namespace pipeserve {

enum class Collectives {
  kAuto,          // Shared memory if all ranks can have it, sockets otherwise.
  kSharedMemory,  // An error if they cannot.
  kSockets,
};

// Connects `rank` with every other rank of `peers` (an address per rank) for `epoch`, and agrees
// with them on what carries their collectives: all ranks of one group use the same. They share
// memory if all run on one host as one user and none was told otherwise; a group that falls back to
// sockets says why in one log line of rank 0.
//
// Errors: those of ConnectMesh(); kFailedPrecondition (shared memory was demanded and is not to be
// had; the message tells why).
Result<std::shared_ptr<Communicator>> JoinCollectives(const SocketListener& listener, int rank,
                                                      std::span<const std::string> peers,
                                                      uint64_t epoch, const WaitLimit& limit,
                                                      Collectives wanted = Collectives::kAuto);

}  // namespace pipeserve
