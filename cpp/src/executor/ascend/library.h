// Ascend's runtime libraries, found when the program runs: nothing is linked with them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "executor/ascend/abi.h"
#include "pipeserve/status.h"

namespace pipeserve::ascend {

struct LibraryOptions {
  // Where the libraries are. Empty: $ASCEND_HOME_PATH/lib64, without it $ASCEND_TOOLKIT_HOME/lib64,
  // without both wherever the loader looks. A place that is named but has them not is an error.
  std::string directory;
  bool collectives = false;  // HCCL, too.
};

// The functions of the libraries. Immutable. The libraries stay loaded for the life of the process,
// because they do not bear to be unloaded.
class Library {
 public:
  // Errors: kFailedPrecondition (a library, or a function that every supported release has, is not
  // there; the message says where it was looked for and what the loader said, apart by "; ").
  static Result<std::shared_ptr<const Library>> Load(const LibraryOptions& options);

  const abi::Functions& functions() const { return functions_; }

  // The files that the functions are in.
  const std::vector<std::string>& files() const { return files_; }
  // Functions that the libraries have not, because they are of another release.
  const std::vector<std::string>& missing() const { return missing_; }

 private:
  Library() = default;
  void NoteFile(const std::string& path);

  abi::Functions functions_;
  std::vector<std::string> files_;
  std::vector<std::string> missing_;
};

}  // namespace pipeserve::ascend
