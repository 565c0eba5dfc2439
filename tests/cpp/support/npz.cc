#include "support/npz.h"

#include <zlib.h>

#include <cstring>
#include <vector>

#include "base/str_cat.h"
#include "support/fixtures.h"

namespace pipeserve {
namespace {

template <typename T>
T At(const std::string& bytes, size_t offset) {
  T value{};
  if (offset + sizeof(T) <= bytes.size()) std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

std::string Inflate(const std::string& packed, size_t size) {
  std::string out(size, '\0');
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return {};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(size);
  const int result = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  return result == Z_STREAM_END ? out : std::string();
}

DataType DataTypeOfDescr(const std::string& header) {
  const std::map<std::string, DataType> types = {
      {"'<f2'", DataType::kFloat16}, {"'<f4'", DataType::kFloat32}, {"'<f8'", DataType::kFloat64},
      {"'<i4'", DataType::kInt32},   {"'<i8'", DataType::kInt64},   {"'|b1'", DataType::kBool}};
  for (const auto& [name, dtype] : types) {
    if (header.find(name) != std::string::npos) return dtype;
  }
  return DataType::kUnknown;
}

Result<Tensor> ParseNpy(const std::string& npy) {
  const size_t start = 10 + At<uint16_t>(npy, 8);
  if (npy.compare(0, 6, "\x93NUMPY") != 0 || start > npy.size()) {
    return InvalidArgument("not an .npy of version 1");
  }
  const std::string header = npy.substr(10, start - 10);
  const size_t open = header.find("'shape': (");
  if (open == std::string::npos || header.find("'fortran_order': False") == std::string::npos) {
    return InvalidArgument(StrCat("unexpected header ", header));
  }
  std::vector<int64_t> dims;
  for (const char* at = header.c_str() + open + 10; *at != ')' && *at != '\0';) {
    if (*at >= '0' && *at <= '9') {
      char* end = nullptr;
      dims.push_back(std::strtoll(at, &end, 10));
      at = end;
    } else {
      ++at;
    }
  }
  PIPESERVE_ASSIGN_OR_RETURN(const Shape shape, Shape::Create(dims));
  return Tensor::Create(DataTypeOfDescr(header), shape,
                        Buffer::CopyOf(std::as_bytes(std::span(npy).subspan(start))));
}

}  // namespace

Result<std::map<std::string, Tensor>> ReadNpz(const std::filesystem::path& path) {
  const std::string zip = FileBytes(path);
  const size_t end = zip.rfind("PK\5\6");
  if (end == std::string::npos) return NotFound(StrCat("no zip file ", path));
  std::map<std::string, Tensor> arrays;
  size_t entry = At<uint32_t>(zip, end + 16);
  for (int left = At<uint16_t>(zip, end + 10); left > 0; --left) {
    const size_t packed_size = At<uint32_t>(zip, entry + 20), size = At<uint32_t>(zip, entry + 24);
    const size_t name_size = At<uint16_t>(zip, entry + 28), local = At<uint32_t>(zip, entry + 42);
    const size_t data = local + 30 + At<uint16_t>(zip, local + 26) + At<uint16_t>(zip, local + 28);
    if (data > zip.size() || entry + 46 > zip.size()) return InvalidArgument("a cut zip file");
    std::string name = zip.substr(entry + 46, name_size);
    const std::string packed = zip.substr(data, packed_size);
    auto tensor = ParseNpy(At<uint16_t>(zip, entry + 10) == 0 ? packed : Inflate(packed, size));
    if (!tensor.ok()) return tensor.status().WithContext(StrCat(path, ": ", name));
    arrays.emplace(name.substr(0, name.rfind(".npy")), *std::move(tensor));
    entry += 46 + name_size + At<uint16_t>(zip, entry + 30) + At<uint16_t>(zip, entry + 32);
  }
  return arrays;
}

}  // namespace pipeserve
