#include "graph/file_writer.h"

#include <fcntl.h>
#include <google/protobuf/message_lite.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <limits>
#include <string>
#include <system_error>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

Status Failure(const std::filesystem::path& path, int error) {
  return Unavailable(
      StrCat("cannot write ", path.string(), ": ", std::generic_category().message(error)));
}

// The number of an error, or 0. The bytes are on the disk when it returns: a rename must not
// outlive them.
int WriteAll(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return ::fsync(file) == 0 ? 0 : errno;
}

}  // namespace

Status WriteFile(const std::filesystem::path& path, std::string_view bytes) {
  static std::atomic<int> counter{0};
  const std::string temporary = StrCat(path.string(), ".", ::getpid(), ".", counter++, ".tmp");
  constexpr mode_t kReadWrite = 0666;  // Less the process's umask.
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kReadWrite);
  if (file < 0) return Failure(path, errno);
  int error = WriteAll(file, bytes);
  if (::close(file) != 0 && error == 0) error = errno;
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error == 0) return OkStatus();
  ::unlink(temporary.c_str());
  return Failure(path, error);
}

Status WriteMessage(const std::filesystem::path& path,
                    const google::protobuf::MessageLite& message) {
  const size_t size = message.ByteSizeLong();
  if (size > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    return InvalidArgument(
        StrCat(path.string(), " would take ", size, " bytes, such a file holds at most 2 GiB"));
  }
  return WriteFile(path, message.SerializeAsString());
}

}  // namespace pipeserve
