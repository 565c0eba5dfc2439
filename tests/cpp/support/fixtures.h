// Model files of the shared folder beside the checkout, and files that tests write.
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

// A folder of its own for each test and process, removed with the object.
class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::path(::testing::TempDir()) / "pipeserve.XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // Writes a file below the folder, with the folders that it needs.
  std::filesystem::path Write(std::string_view name, std::string_view bytes) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream out(file, std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return file;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace pipeserve
