#include "base/text_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/str_cat.h"

namespace pipeserve {

Result<std::string> ReadTextFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (file && text) return std::move(text).str();
  return InvalidArgument(StrCat("cannot read file ", path, ": ", std::strerror(errno)));
}

}  // namespace pipeserve
