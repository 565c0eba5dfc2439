// Reads the arrays of a .npz file (a zip of .npy), for tests that compare with stored values.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "pipeserve/tensor.h"

namespace pipeserve {

// By name, without ".npy". Little-endian float16/32/64, int32/64 and bool in C order.
// Errors: kNotFound, kInvalidArgument.
Result<std::map<std::string, Tensor>> ReadNpz(const std::filesystem::path& path);

}  // namespace pipeserve
