// What the command line of pipeserve-ascend-check says.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "executor/ascend/device.h"
#include "executor/ascend/library.h"
#include "pipeserve/status.h"

namespace pipeserve::ascend::check {

struct Options {
  LibraryOptions library;
  DeviceOptions device;
  std::vector<std::string> checks;     // By name, in the order of AllChecks().
  bool quick = false;                  // Small sizes and few repetitions.
  int ranks = 0;                       // Of the collectives; 0: not said.
  int64_t calls = 1000;                // Of the memory check.
  std::string om;                      // The file of the model check.
  std::chrono::seconds patience{300};  // For a check that says nothing.
  std::string role;                    // What this process is to another of the same program.
  bool help = false, version = false;
  std::vector<std::string> arguments;  // As they came, for processes of the same kind.
};

std::string Usage();

// Errors: kInvalidArgument (what is wrong with the command line).
Result<Options> ParseOptions(int argc, char** argv);

}  // namespace pipeserve::ascend::check
