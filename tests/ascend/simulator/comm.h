// A communicator of HCCL.
#pragma once

#include <memory>
#include <string>

#include "meeting.h"
#include "stream.h"

namespace pipeserve::ascend::sim {

struct CommObject final : Object {
  static constexpr Kind kKind = Kind::kComm;
  CommObject() : Object(kKind) {}

  std::shared_ptr<ContextObject> context;
  std::unique_ptr<Meeting> meeting;
  uint32_t rank = 0;
  std::string rank_table;  // Its content; empty with a root info.
  uint64_t sequence = 0;
  Point last;  // Its last collective.
  bool failed = false;
  Point failed_by;  // The task that made it fail; without a stream a call of the host did.
};

}  // namespace pipeserve::ascend::sim
