// Encrypted model files: one or more blocks of AES in GCM or CBC mode.
#pragma once

#include <cstddef>
#include <span>

#include "graph/model_file.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

// True when `file` starts as an encrypted one does; no plain file does.
bool IsEncrypted(std::span<const std::byte> file);

// The plain bytes of an encrypted file. Only GCM files of 2.x carry a tag; a wrong key for any
// other may go unnoticed here and give bytes that do not parse.
//
// Errors: kInvalidArgument (key of another length, a damaged or cut block, another mode than the
// file's, a tag or padding that does not fit the key).
Result<Buffer> Decrypt(std::span<const std::byte> file, const Decryption& decryption);

}  // namespace pipeserve
