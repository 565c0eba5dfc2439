// Processes of this program that work for another of it. They tell each other JSON, a line each.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_descriptor.h"
#include "report.h"

namespace pipeserve::ascend::check {

// Killed with its owner. What it prints goes to stderr, because libraries print what they like.
class Child {
 public:
  // Errors: kInternal.
  static Result<std::unique_ptr<Child>> Start(std::vector<std::string> arguments);
  Child(Child&&) = delete;
  ~Child();

  // It need not listen any more.
  void Tell(const Json& message);
  // What it says next; none when it has ended. Errors: kDeadlineExceeded, kDataLoss (no JSON).
  Result<std::optional<Json>> Hear(Deadline deadline);

  void Kill();
  // Of a process that Hear() has found to end, or that was killed: "exited with code 1", "was ended
  // by signal 11". One that a driver keeps even then is left behind.
  std::string AwaitEnd();

 private:
  Child() = default;

  pid_t pid_ = -1;
  FileDescriptor to_, from_;
  std::string heard_;  // Of a line that has not come as a whole.
};

// In the child.
void EndWithParent();
void Say(const Json& message);
std::optional<Json> Listen();
inline void SayProgress(const std::string& text) { Say({{"progress", text}}); }

}  // namespace pipeserve::ascend::check
