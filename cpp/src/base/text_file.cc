#include "base/text_file.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/str_cat.h"

namespace pipeserve {

Result<std::string> ReadTextFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 16 << 10> block;
  while (file.read(block.data(), block.size()) || file.gcount() > 0) {
    text.append(block.data(), static_cast<size_t>(file.gcount()));
  }
  if (file.eof()) return text;
  return InvalidArgument(StrCat("cannot read file ", path, ": ", std::strerror(errno)));
}

}  // namespace pipeserve
