// A servable whose graphs run in this process.
#pragma once

#include <memory>

#include "pipeserve/server.h"
#include "scheduler/servable.h"

namespace pipeserve {

// Reads the model files and makes the servable that runs them on the CPU. Errors: those of
// Server::LoadLocal(), but for the name.
Result<std::shared_ptr<Servable>> MakeLocalServable(const ServableSpec& spec,
                                                    const LocalServableOptions& options,
                                                    const SchedulerOptions& scheduler);

}  // namespace pipeserve
