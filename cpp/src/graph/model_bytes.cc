#include "graph/model_bytes.h"

#include <google/protobuf/message_lite.h>

#include <fstream>
#include <limits>
#include <system_error>

#include "base/str_cat.h"
#include "graph/decrypt.h"

namespace pipeserve {

Result<Buffer> ReadFileBytes(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return NotFound("there is no such file");
  const uintmax_t size = std::filesystem::file_size(path, error);
  std::ifstream in(path, std::ios::binary);
  if (error || !in) return Unavailable("the file cannot be opened");
  Buffer bytes = Buffer::Allocate(size);
  if (!in.read(reinterpret_cast<char*>(bytes.mutable_data()), static_cast<std::streamsize>(size))) {
    return Unavailable(StrCat("only ", in.gcount(), " of ", size, " bytes could be read"));
  }
  return bytes;
}

Result<ModelBytes> DecryptModelBytes(Buffer bytes, const std::optional<Decryption>& decryption) {
  if (!IsEncrypted(bytes.bytes())) return ModelBytes{std::move(bytes), false};
  if (!decryption.has_value()) return InvalidArgument("is encrypted, and no key was given");
  PIPESERVE_ASSIGN_OR_RETURN(Buffer plain, Decrypt(bytes.bytes(), *decryption));
  return ModelBytes{std::move(plain), true};
}

Result<ModelBytes> ReadModelBytes(const std::filesystem::path& path,
                                  const std::optional<Decryption>& decryption) {
  PIPESERVE_ASSIGN_OR_RETURN(Buffer bytes, ReadFileBytes(path));
  return DecryptModelBytes(std::move(bytes), decryption);
}

Status ParseMessage(const ModelBytes& file, google::protobuf::MessageLite& message) {
  if (file.bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return InvalidArgument(StrCat("has ", file.bytes.size(), " bytes, at most 2 GiB are readable; ",
                                  "larger models keep their weights in files of their own"));
  }
  if (message.ParseFromArray(file.bytes.data(), static_cast<int>(file.bytes.size()))) {
    return OkStatus();
  }
  return InvalidArgument(file.decrypted ? "does not decrypt to a model: the key or mode is wrong"
                                        : "is cut short, damaged or no such file at all");
}

}  // namespace pipeserve
