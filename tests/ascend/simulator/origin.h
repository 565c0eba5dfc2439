// Where in the caller's program a call came from.
#pragma once

#include <array>
#include <string>

namespace pipeserve::ascend::sim {

// The stack above the simulator, kept as addresses until somebody asks for the text.
class Origin {
 public:
  static Origin Here();

  // The innermost callers, for example "Buffer::Create()+0x4c < main+0x20".
  std::string Text() const;

 private:
  std::array<void*, 20> frames_ = {};
  int count_ = 0;
};

}  // namespace pipeserve::ascend::sim
