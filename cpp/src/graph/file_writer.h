// Files that are either written completely or not at all.
#pragma once

#include <filesystem>
#include <string_view>

#include "pipeserve/status.h"

namespace google::protobuf {
class MessageLite;
}  // namespace google::protobuf

namespace pipeserve {

// Replaces `path` in one step, so that a reader sees the old bytes or all of the new ones.
// Errors: kUnavailable, naming the path.
Status WriteFile(const std::filesystem::path& path, std::string_view bytes);

// The same for a serialised message. Errors: kInvalidArgument (more than the 2 GiB that a message
// can hold), those of WriteFile().
Status WriteMessage(const std::filesystem::path& path,
                    const google::protobuf::MessageLite& message);

}  // namespace pipeserve
