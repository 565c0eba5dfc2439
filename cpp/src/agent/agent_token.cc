#include "agent/agent_token.h"

#include <algorithm>
#include <string_view>

#include "base/secret.h"
#include "base/str_cat.h"
#include "base/text_file.h"

namespace pipeserve {
namespace {

constexpr char kField[] = "authorization";
constexpr std::string_view kScheme = "Bearer ";
constexpr size_t kMinLength = 16;
constexpr size_t kMaxLength = 1024;

}  // namespace

Result<std::string> ReadTokenFile(const std::string& path) {
  PIPESERVE_ASSIGN_OR_RETURN(std::string token, ReadTextFile(path));
  while (token.ends_with('\n') || token.ends_with('\r')) token.pop_back();
  if (token.empty()) return InvalidArgument(StrCat("there is no token in ", path));
  PIPESERVE_RETURN_IF_ERROR(CheckTokenText(token).WithContext(path));
  return token;
}

Status CheckTokenText(const std::string& token) {
  if (token.empty()) return OkStatus();
  if (token.size() < kMinLength || token.size() > kMaxLength) {
    return InvalidArgument(StrCat("the agents' token has ", kMinLength, " to ", kMaxLength,
                                  " characters, not ", token.size()));
  }
  if (std::ranges::any_of(token, [](char c) { return c <= ' ' || c > '~'; })) {
    return InvalidArgument("the agents' token has to be ASCII without blanks");
  }
  return OkStatus();
}

void AddToken(const std::string& token, grpc::ClientContext* context) {
  if (!token.empty()) context->AddMetadata(kField, StrCat(kScheme, token));
}

Status CheckToken(const std::string& token, const grpc::ServerContextBase& context) {
  if (token.empty()) return OkStatus();
  const auto& fields = context.client_metadata();
  const auto found = fields.find(kField);
  if (found == fields.end()) {
    return Status(StatusCode::kUnauthenticated,
                  "the server wants a token of its agents and none came");
  }
  std::string_view shown(found->second.data(), found->second.size());
  if (shown.starts_with(kScheme)) shown.remove_prefix(kScheme.size());
  if (SameSecret(shown, token)) return OkStatus();
  return Status(StatusCode::kUnauthenticated, "the token that came is not the server's");
}

}  // namespace pipeserve
