#include "executor/ascend/library.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <span>

#include "base/str_cat.h"

namespace pipeserve::ascend {
namespace {

enum class Need { kAlways, kByGraphs, kByGroups };

// Functions that lie in one library, which the releases call by different names.
struct Group {
  std::vector<const char*> libraries;
  Need need;
};

enum GroupId { kRuntime, kModel, kMeta, kNnOps, kMathOps, kComm, kCollectives };

const Group& GroupOf(GroupId id) {
  // To release 8.3, and what took over from 8.5 on.
  static const Group groups[] = {
      {{"libascendcl.so", "libacl_rt.so"}, Need::kAlways},
      {{"libascendcl.so", "libacl_mdl.so"}, Need::kByGraphs},
      {{"libnnopbase.so"}, Need::kAlways},
      {{"libopapi.so", "libopapi_nn.so"}, Need::kByGraphs},
      {{"libopapi.so", "libopapi_math.so"}, Need::kByGraphs},
      {{"libhccl.so", "libhcomm.so"}, Need::kByGroups},
      {{"libhccl.so"}, Need::kByGroups},
  };
  return groups[id];
}

struct Entry {
  const char* name;
  int since;
  GroupId group;
  void (*set)(abi::Functions& functions, void* address);
};

std::span<const Entry> Entries(){
#define PIPESERVE_ENTRY(group, name, since)                                 \
  {                                                                         \
    #name, since, group, [](abi::Functions& functions, void* address) {     \
      functions.name = reinterpret_cast<decltype(functions.name)>(address); \
    }                                                                       \
  }                                                                         \
  ,
#define PIPESERVE_RUNTIME_ENTRY(name, since, ...) PIPESERVE_ENTRY(kRuntime, name, since)
#define PIPESERVE_MODEL_ENTRY(name, since, ...) PIPESERVE_ENTRY(kModel, name, since)
#define PIPESERVE_META_ENTRY(name, since, ...) PIPESERVE_ENTRY(kMeta, name, since)
#define PIPESERVE_NN_ENTRY(name, since, ...) PIPESERVE_ENTRY(kNnOps, name, since)
#define PIPESERVE_MATH_ENTRY(name, since, ...) PIPESERVE_ENTRY(kMathOps, name, since)
#define PIPESERVE_COMM_ENTRY(name, since, ...) PIPESERVE_ENTRY(kComm, name, since)
#define PIPESERVE_COLLECTIVE_ENTRY(name, since, ...) PIPESERVE_ENTRY(kCollectives, name, since)
    static const Entry entries[] = {
      PIPESERVE_ASCEND_RUNTIME(PIPESERVE_RUNTIME_ENTRY)  //
      PIPESERVE_ASCEND_MODEL(PIPESERVE_MODEL_ENTRY)      //
      PIPESERVE_ASCEND_META(PIPESERVE_META_ENTRY)        //
      PIPESERVE_ASCEND_NN_OPS(PIPESERVE_NN_ENTRY)        //
      PIPESERVE_ASCEND_MATH_OPS(PIPESERVE_MATH_ENTRY)    //
      PIPESERVE_ASCEND_COMM(PIPESERVE_COMM_ENTRY)        //
      PIPESERVE_ASCEND_COLLECTIVES(PIPESERVE_COLLECTIVE_ENTRY)
    };
return entries;
}  // namespace

// The directory to look in; empty for the loader's own path.
std::string FindDirectory(const LibraryOptions& options) {
  if (!options.directory.empty()) return options.directory;
  for (const char* variable : {"ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"}) {
    const char* const home = std::getenv(variable);
    if (home != nullptr && *home != '\0') return std::filesystem::path(home) / "lib64";
  }
  return {};
}

// Opens each library once and remembers what the loader said of those it could not.
class Opener {
 public:
  explicit Opener(std::string directory) : directory_(std::move(directory)) {}

  // The function's address; null when no library of `group` has it.
  void* Find(const Group& group, const char* name) {
    for (const char* library : group.libraries) {
      void* const handle = Open(library);
      if (handle == nullptr) continue;
      if (void* const address = dlsym(handle, name)) return address;
    }
    return nullptr;
  }

  // Whether any library of `group` could be opened.
  bool HasOpened(const Group& group) const {
    return std::any_of(opened_.begin(), opened_.end(), [&](const Opened& each) {
      return each.handle != nullptr && std::find(group.libraries.begin(), group.libraries.end(),
                                                 each.name) != group.libraries.end();
    });
  }

  // What became of the libraries of `group`, apart by "; ".
  std::string Describe(const Group& group) const {
    std::vector<std::string> lines;
    for (const char* library : group.libraries) {
      for (const Opened& each : opened_) {
        if (each.name != library) continue;
        lines.push_back(each.handle != nullptr ? StrCat(Path(each.name), " has it not")
                                               : each.error);
      }
    }
    return StrJoin(lines, "; ");
  }

 private:
  struct Opened {
    std::string name;
    void* handle;  // Null: it could not be opened.
    std::string error;
  };

  std::string Path(const std::string& name) const {
    return directory_.empty() ? name : (std::filesystem::path(directory_) / name).string();
  }

  void* Open(const std::string& name) {
    for (const Opened& each : opened_) {
      if (each.name == name) return each.handle;
    }
    void* const handle = dlopen(Path(name).c_str(), RTLD_NOW | RTLD_LOCAL);
    opened_.push_back({name, handle, handle == nullptr ? dlerror() : ""});
    return handle;
  }

  const std::string directory_;
  std::vector<Opened> opened_;
};

std::string PathOf(void* address) {
  Dl_info info = {};
  return dladdr(address, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

}  // namespace pipeserve::ascend

Result<std::shared_ptr<const Library>> Library::Load(const LibraryOptions& options) {
  const std::string directory = FindDirectory(options);
  if (!directory.empty() && !std::filesystem::is_directory(directory)) {
    return FailedPrecondition(
        StrCat("there is no directory ", directory, " to load Ascend's runtime libraries from"));
  }
  Opener opener(directory);
  std::shared_ptr<Library> library(new Library);
  for (const Entry& entry : Entries()) {
    const Group& group = GroupOf(entry.group);
    if (group.need == Need::kByGroups && !options.collectives) continue;
    if (void* const address = opener.Find(group, entry.name)) {
      entry.set(library->functions_, address);
      library->NoteFile(PathOf(address));
      continue;
    }
    if (entry.since == 0 && group.need != Need::kByGraphs) {
      const std::string what = opener.HasOpened(group)
                                   ? StrCat("Ascend's runtime has no function ", entry.name)
                                   : "Ascend's runtime cannot be loaded";
      return FailedPrecondition(StrCat(what, ": ", opener.Describe(group)));
    }
    library->missing_.push_back(entry.name);
  }
  return std::shared_ptr<const Library>(std::move(library));
}

void Library::NoteFile(const std::string& path) {
  for (const std::string& known : files_) {
    if (known == path) return;
  }
  files_.push_back(path);
}

}  // namespace pipeserve::ascend
