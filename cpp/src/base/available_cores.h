// How many cores this process may use.
#pragma once

#include <optional>
#include <string_view>

namespace pipeserve {

// By its affinity and, rounded up, by the quota of its control group (version 2); at least 1.
int AvailableCores();

// Of `cores`, what each of `processes` may use when they share them evenly; at least 1.
int ShareOfCores(int cores, int processes);

// The cores that the text of a cpu.max file grants ("150000 100000" are two), none for "max".
std::optional<int> CoresOfQuota(std::string_view cpu_max);

}  // namespace pipeserve
