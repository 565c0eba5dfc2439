// Status <-> gRPC's status: the codes are the same numbers.
#pragma once

#include <grpcpp/support/status.h>

#include "pipeserve/status.h"

namespace pipeserve {

inline grpc::Status ToGrpcStatus(const Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), status.message()};
}

inline Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return OkStatus();
  return {static_cast<StatusCode>(status.error_code()), status.error_message()};
}

}  // namespace pipeserve
