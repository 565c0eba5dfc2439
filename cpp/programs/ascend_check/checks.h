// The checks by name. Each runs in a process of its own: what one does to the device or to its
// process, it does to no other.
#pragma once

#include <span>
#include <string_view>

#include "options.h"
#include "report.h"
#include "session.h"

namespace pipeserve::ascend::check {

struct Check {
  const char* name;
  const char* about;
  bool by_default;  // Without any flag that chooses.
  // Adds to `found` what is worth knowing, also when it fails.
  Status (*run)(const Options& options, Json& found);
};

std::span<const Check> AllChecks();
// Null when there is none.
const Check* FindCheck(std::string_view name);

Status CheckLibraries(const Options& options, Json& found);
Status CheckDevice(Session& session, Json& found);
Status CheckOperators(const Options& options, Json& found);
Status CheckCopies(Session& session, Json& found);
Status CheckWaits(Session& session, Json& found);
Status CheckWorkspaces(Session& session, Json& found);
Status CheckRepeatable(Session& session, Json& found);
Status CheckViews(Session& session, Json& found);
Status CheckOverlap(Session& session, Json& found);
Status CheckLaunch(Session& session, Json& found);
Status CheckMemory(Session& session, Json& found);
Status CheckModel(const Options& options, Json& found);

constexpr int kUsualRanks = 2;

// In the process that the user started: it brings the ranks together.
Status CheckCollectives(const Options& options, Json& found);
// In the process of one rank; see collectives_rank.cc.
int RunRank(const Options& options);

}  // namespace pipeserve::ascend::check
