#include "server/grpc_door.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <utility>

#include "base/str_cat.h"
#include "base/text_file.h"
#include "ms_service.grpc.pb.h"
#include "server/address.h"
#include "wire/ms_service.h"

namespace pipeserve {
namespace {

constexpr std::chrono::seconds kCloseLimit{5};

Deadline ToDeadline(std::chrono::system_clock::time_point time) {
  constexpr std::chrono::hours kEver{24 * 365};
  if (time == std::chrono::system_clock::time_point::max()) return Deadline::Infinite();
  const auto remaining = time - std::chrono::system_clock::now();
  return remaining > kEver ? Deadline::Infinite() : Deadline::After(remaining);
}

// One call. A client that leaves has its request answered, which finishes the call.
class PredictCall final : public grpc::ServerUnaryReactor {
 public:
  const std::shared_ptr<CancelToken>& cancel() const { return cancel_; }

 private:
  void OnCancel() override { cancel_->Raise(); }
  void OnDone() override { delete this; }  // From here on gRPC has forgotten it.

  const std::shared_ptr<CancelToken> cancel_ = std::make_shared<CancelToken>();
};

class PredictService final : public ms_proto::MSService::CallbackService {
 public:
  explicit PredictService(Dispatcher* dispatcher) : dispatcher_(*dispatcher) {}

  grpc::ServerUnaryReactor* Predict(grpc::CallbackServerContext* context,
                                    const ms_proto::PredictRequest* request,
                                    ms_proto::PredictReply* reply) override {
    auto* call = new PredictCall;  // Its own owner.
    *reply->mutable_servable_spec() = request->servable_spec();
    // The message belongs to this call alone and nobody reads it again, so its bytes are taken.
    Result<ClientRequest> read = Read(const_cast<ms_proto::PredictRequest*>(request));
    if (!read.ok()) {
      WriteReply(read.status(), {}, {}, reply);
      call->Finish(grpc::Status::OK);
      return call;
    }
    read->deadline = ToDeadline(context->deadline());
    read->cancel = call->cancel();
    dispatcher_.Dispatch(*std::move(read), [call, reply](ClientReply result) {
      WriteReply(result.error, result.output_names, result.instances, reply);
      call->Finish(grpc::Status::OK);  // Errors travel inside the reply.
    });
    return call;
  }

 private:
  static Result<ClientRequest> Read(ms_proto::PredictRequest* message) {
    ClientRequest request;
    request.servable = message->servable_spec().name();
    request.method = message->servable_spec().method_name();
    request.version = message->servable_spec().version_number();
    PIPESERVE_ASSIGN_OR_RETURN(request.instances, TakeInstances(message));
    return request;
  }

  Dispatcher& dispatcher_;
};

Result<std::shared_ptr<grpc::ServerCredentials>> MakeCredentials(
    const std::optional<SslOptions>& ssl) {
  if (!ssl.has_value()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options;
  PIPESERVE_ASSIGN_OR_RETURN(std::string key, ReadTextFile(ssl->private_key_file));
  PIPESERVE_ASSIGN_OR_RETURN(std::string certificate, ReadTextFile(ssl->certificate_file));
  options.pem_key_cert_pairs.push_back({std::move(key), std::move(certificate)});
  if (ssl->verify_client) {
    PIPESERVE_ASSIGN_OR_RETURN(options.pem_root_certs, ReadTextFile(ssl->custom_ca_file));
    options.client_certificate_request = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  return grpc::SslServerCredentials(options);
}

// The address that gRPC is given, checked.
Result<std::string> CheckAddress(const std::string& address) {
  if (IsUnixAddress(address)) return ResolveUnixAddress(address);
  PIPESERVE_RETURN_IF_ERROR(ParseHostPort(address, "Serving gRPC").status());
  return address;
}

std::string BoundAddress(const std::string& address, int port) {
  if (IsUnixAddress(address)) return address;
  return StrCat(address.substr(0, address.rfind(':')), ":", port);
}

}  // namespace

class GrpcDoor::Impl {
 public:
  explicit Impl(Dispatcher* dispatcher) : service_(dispatcher) {}

  Status Open(const ListenOptions& options) {
    PIPESERVE_ASSIGN_OR_RETURN(const std::string address, CheckAddress(options.address));
    PIPESERVE_ASSIGN_OR_RETURN(auto credentials, MakeCredentials(options.ssl));
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_message_bytes));
    builder.SetMaxSendMessageSize(static_cast<int>(options.max_message_bytes));
    builder.AddListeningPort(address, credentials, &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      return Unavailable(
          StrCat("Serving Error: Serving gRPC server start failed, create server failed, address ",
                 options.address));
    }
    address_ = BoundAddress(address, port);
    return OkStatus();
  }

  const std::string& address() const { return address_; }

  void Close() {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + kCloseLimit);
  }

 private:
  PredictService service_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

Result<std::unique_ptr<GrpcDoor>> GrpcDoor::Open(const ListenOptions& options,
                                                 Dispatcher* dispatcher) {
  auto impl = std::make_unique<Impl>(dispatcher);
  PIPESERVE_RETURN_IF_ERROR(impl->Open(options));
  return std::unique_ptr<GrpcDoor>(new GrpcDoor(std::move(impl)));
}

GrpcDoor::GrpcDoor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcDoor::~GrpcDoor() { Close(); }
const std::string& GrpcDoor::address() const { return impl_->address(); }
void GrpcDoor::Close() { impl_->Close(); }

}  // namespace pipeserve
