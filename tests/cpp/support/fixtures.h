// Model files of the shared folder beside the checkout.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace pipeserve {

// SharedFile("mindir/v1.3/consts.mindir"), below $PIPESERVE_SHARED_DIR or beside the checkout,
// where ctest runs the tests. Needs SKIP_WITHOUT_SHARED_FILES in the test.
inline std::filesystem::path SharedFile(std::string_view name) {
  const char* folder = std::getenv("PIPESERVE_SHARED_DIR");
  return std::filesystem::path(folder != nullptr ? folder : "../shared") / name;
}

// Ends a test, or a SetUp(), that reads shared files where there are none.
#define SKIP_WITHOUT_SHARED_FILES()                                          \
  do {                                                                       \
    if (!std::filesystem::exists(::pipeserve::SharedFile("mindir"))) {       \
      GTEST_SKIP() << "the folder of shared model files is not beside this " \
                      "checkout: "                                           \
                   << ::pipeserve::SharedFile("mindir");                     \
    }                                                                        \
  } while (false)

// All bytes of a file; none when it cannot be read.
inline std::string FileBytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace pipeserve
