#include "base/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <limits>
#include <system_error>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;
constexpr size_t kMaxName = 100;  // The kernel takes 249 bytes.

Status Exhausted(const std::string& what, size_t bytes, const std::string& why) {
  return ResourceExhausted(StrCat(what, " of ", bytes, " bytes: ", why));
}

Status Exhausted(const std::string& what, size_t bytes, int error) {
  return Exhausted(what, bytes, std::generic_category().message(error));
}

// Bytes that can be had without pushing others out, the largest number when that is not known.
uint64_t AvailableMemory() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  for (uint64_t kilobytes = 0; file >> key >> kilobytes; file.ignore(100, '\n')) {
    if (key == "MemAvailable:") return kilobytes * 1024;
  }
  return std::numeric_limits<uint64_t>::max();
}

// Asking the kernel for too much does not only fail: it ends processes to make room, and this one
// by SIGXFSZ when a limit on file sizes forbids it.
Status CheckSize(const std::string& what, size_t bytes) {
  if (bytes == 0) return InvalidArgument(StrCat(what, " has to have bytes"));
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && bytes > limit.rlim_cur) {
    return Exhausted(what, bytes, StrCat("the limit on file sizes is ", limit.rlim_cur));
  }
  const uint64_t available = AvailableMemory();
  if (bytes > available || bytes > std::numeric_limits<off_t>::max()) {
    return Exhausted(what, bytes, StrCat(available, " bytes of memory are available"));
  }
  return OkStatus();
}

Status Reserve(const std::string& what, int fd, size_t bytes) {
  int error = 0;
  do {
    error = posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  } while (error == EINTR);
  return error == 0 ? OkStatus() : Exhausted(what, bytes, error);
}

Result<std::byte*> MapBytes(const std::string& what, int fd, size_t bytes) {
  // The pages exist (see Reserve()); a process maps those that it uses, so what nobody uses counts
  // nowhere as resident.
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return Exhausted(what, bytes, errno);
  return static_cast<std::byte*>(mapped);
}

}  // namespace

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) munmap(data_, size_);
}

Result<SharedMemory> SharedMemory::Create(const std::string& name, size_t bytes) {
  const std::string what = StrCat("shared memory \"", name, "\"");
  PIPESERVE_RETURN_IF_ERROR(CheckSize(what, bytes));
  SharedMemory memory;
  memory.descriptor_ = FileDescriptor(
      memfd_create(name.substr(0, kMaxName).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.descriptor_.is_open()) return Exhausted(what, bytes, errno);
  PIPESERVE_RETURN_IF_ERROR(Reserve(what, memory.fd(), bytes));
  if (fcntl(memory.fd(), F_ADD_SEALS, kSizeSeals | F_SEAL_SEAL) != 0) {
    return Internal(StrCat(what, " cannot be sealed: ", std::generic_category().message(errno)));
  }
  PIPESERVE_ASSIGN_OR_RETURN(memory.data_, MapBytes(what, memory.fd(), bytes));
  memory.size_ = bytes;
  return memory;
}

Result<SharedMemory> SharedMemory::Map(FileDescriptor descriptor, size_t expected_bytes) {
  const std::string what = "shared memory of a peer";
  SharedMemory memory;
  memory.descriptor_ = std::move(descriptor);
  const int seals = fcntl(memory.fd(), F_GET_SEALS);
  if (seals < 0 || (seals & kSizeSeals) != kSizeSeals) {
    return InvalidArgument(StrCat(what, " wants a memfd whose size is sealed"));
  }
  struct stat info {};
  if (fstat(memory.fd(), &info) != 0 || expected_bytes == 0 ||
      static_cast<uint64_t>(info.st_size) != expected_bytes) {
    return InvalidArgument(
        StrCat(what, " wants ", expected_bytes, " bytes, ", info.st_size, " came"));
  }
  const uint64_t backed = static_cast<uint64_t>(info.st_blocks) * 512;
  if (backed < expected_bytes) {
    return InvalidArgument(
        StrCat(what, " has ", expected_bytes, " bytes, ", backed, " of them backed by memory"));
  }
  PIPESERVE_ASSIGN_OR_RETURN(memory.data_, MapBytes(what, memory.fd(), expected_bytes));
  memory.size_ = expected_bytes;
  return memory;
}

}  // namespace pipeserve
