#include "server/doors.h"

#include <utility>

#include "base/socket.h"
#include "base/str_cat.h"
#include "pipeserve/log.h"
#include "server/rest_service.h"

namespace pipeserve {
namespace {

constexpr size_t kMaxMessageBytes = size_t{512} << 20;

Status CheckListenOptions(const ListenOptions& options) {
  if (options.max_message_bytes < 1 || options.max_message_bytes > kMaxMessageBytes) {
    return InvalidArgument(StrCat("max_message_bytes is ", options.max_message_bytes,
                                  ", it must be 1 to ", kMaxMessageBytes));
  }
  if (options.max_connections < 1) {
    return InvalidArgument(
        StrCat("max_connections is ", options.max_connections, ", it must be at least 1"));
  }
  return OkStatus();
}

void WarnIfOpen(const ListenOptions& options, const std::string& address) {
  const bool knows_clients = options.ssl.has_value() && options.ssl->verify_client;
  if (knows_clients || IsLoopbackAddress(address)) return;
  Log(LogLevel::kWarning, "whoever reaches the admin address can load and unload servables",
      {{"address", address}, {"wanted", "certificates of the operators"}});
}

}  // namespace

Result<std::string> Doors::OpenGrpc(const ListenOptions& options) {
  return OpenOnce(options, &grpc_, "Serving Error: Serving gRPC server is already running",
                  [&] { return GrpcDoor::Open(options, &dispatcher_); });
}

Result<std::string> Doors::OpenRest(const ListenOptions& options) {
  return OpenOnce(options, &rest_, "Serving Error: RESTful server is already running", [&] {
    return HttpDoor::Open(options,
                          std::make_unique<RestService>(&dispatcher_, options.http_status_codes));
  });
}

Result<std::string> Doors::OpenAdmin(ListenOptions options, AdminService::WriteStatus write_status,
                                     std::shared_ptr<HostFunction> actions) {
  if (actions == nullptr) return InvalidArgument("the admin server needs a function of actions");
  options.max_message_bytes = AdminService::kMaxBodyBytes;
  PIPESERVE_ASSIGN_OR_RETURN(
      std::string address,
      OpenOnce(options, &admin_, "Serving Error: admin server is already running", [&] {
        return HttpDoor::Open(options,
                              std::make_unique<AdminService>(&dispatcher_, std::move(write_status),
                                                             std::move(actions)));
      }));
  WarnIfOpen(options, address);
  return address;
}

template <typename Door, typename Open>
Result<std::string> Doors::OpenOnce(const ListenOptions& options, std::unique_ptr<Door>* door,
                                    const char* already_open, const Open& open) {
  PIPESERVE_RETURN_IF_ERROR(CheckListenOptions(options));
  MutexLock lock(mutex_);
  if (*door != nullptr) return AlreadyExists(already_open);
  if (locked_) return FailedPrecondition("the server has been stopped");
  PIPESERVE_ASSIGN_OR_RETURN(*door, open());
  return (*door)->address();
}

Doors::Addresses Doors::addresses() const {
  MutexLock lock(mutex_);
  Addresses addresses;
  if (grpc_ != nullptr) addresses.grpc = grpc_->address();
  if (rest_ != nullptr) addresses.rest = rest_->address();
  if (admin_ != nullptr) addresses.admin = admin_->address();
  return addresses;
}

void Doors::Lock() {
  MutexLock lock(mutex_);
  locked_ = true;
}

void Doors::Close() {
  GrpcDoor* grpc = nullptr;
  HttpDoor* rest = nullptr;
  HttpDoor* admin = nullptr;
  {
    MutexLock lock(mutex_);
    locked_ = true;
    grpc = grpc_.get();
    rest = rest_.get();
    admin = admin_.get();
  }
  // Without the lock: what is awaited may ask for the addresses, or for a door.
  if (admin != nullptr) admin->Close();
  if (grpc != nullptr) grpc->Close();
  if (rest != nullptr) rest->Close();
}

}  // namespace pipeserve
