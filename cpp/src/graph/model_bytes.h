// The bytes of a file that belongs to a model, decrypted where need be, and messages in them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "graph/model_file.h"
#include "pipeserve/tensor.h"

namespace google::protobuf {
class MessageLite;
}  // namespace google::protobuf

namespace pipeserve {

struct ModelBytes {
  Buffer bytes;
  bool decrypted = false;
};

// Messages below do not name the file; the caller's context does.

// Errors: kNotFound (no such regular file), kUnavailable (cannot be read).
Result<Buffer> ReadFileBytes(const std::filesystem::path& path);

// The bytes of a file, plain or not. Errors: kInvalidArgument (see Decrypt(), or encrypted and no
// key).
Result<ModelBytes> DecryptModelBytes(Buffer bytes, const std::optional<Decryption>& decryption);

// Both at once.
Result<ModelBytes> ReadModelBytes(const std::filesystem::path& path,
                                  const std::optional<Decryption>& decryption);

// Errors: kInvalidArgument, when the bytes are no such message.
Status ParseMessage(const ModelBytes& file, google::protobuf::MessageLite& message);

}  // namespace pipeserve
