// What is installed, and which device there is.
#include <dlfcn.h>

#include <utility>

#include "base/str_cat.h"
#include "checks.h"

namespace pipeserve::ascend::check {
namespace {

std::string FileOf(void* address) {
  Dl_info info = {};
  return dladdr(address, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "unknown";
}

// The file of every function; null for one that is missing.
Json FilesOf(const abi::Functions& functions) {
  Json files = Json::object();
#define PIPESERVE_FILE(name, ...) \
  files[#name] =                  \
      functions.name == nullptr ? Json() : Json(FileOf(reinterpret_cast<void*>(functions.name)));
  PIPESERVE_ASCEND_FUNCTIONS(PIPESERVE_FILE)
#undef PIPESERVE_FILE
  return files;
}

Json MemoryOf(Device& device) {
  Json memory = Json::object();
  for (const auto& [name, attribute] : {std::pair("hbm", abi::MemoryAttribute::kHbm),
                                        std::pair("ddr", abi::MemoryAttribute::kDdr)}) {
    size_t free = 0, total = 0;
    const Status status = PIPESERVE_ACL(device, aclrtGetMemInfo, attribute, &free, &total);
    if (status.ok() && total > 0) memory[name] = {{"free", free}, {"total", total}};
  }
  return memory;
}

}  // namespace

Status CheckLibraries(const Options& options, Json& found) {
  LibraryOptions library = options.library;
  library.collectives = true;
  PIPESERVE_ASSIGN_OR_RETURN(const std::shared_ptr<const Library> loaded, Library::Load(library));
  found["files"] = loaded->files();
  found["missing_functions"] = loaded->missing();
  found["functions"] = FilesOf(loaded->functions());
  return OkStatus();
}

Status CheckDevice(Session& session, Json& found) {
  Device& device = session.device();
  const Device::Version version = device.version();
  found["acl"] = StrCat(version.major, ".", version.minor, ".", version.patch);
  found["soc"] = device.product().soc();
  uint32_t count = 0;
  PIPESERVE_RETURN_IF_ERROR(PIPESERVE_ACL(device, aclrtGetDeviceCount, &count));
  found["devices"] = count;
  found["memory_bytes"] = MemoryOf(device);
  return OkStatus();
}

}  // namespace pipeserve::ascend::check
