#include "server/grpc_door.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <utility>

#include "base/str_cat.h"
#include "ms_service.grpc.pb.h"
#include "server/address.h"
#include "wire/grpc_bytes.h"
#include "wire/grpc_credentials.h"
#include "wire/grpc_limits.h"
#include "wire/grpc_listener.h"
#include "wire/predict_message.h"

namespace pipeserve {
namespace {

namespace ms_proto = ::mindspore::serving::proto;

constexpr std::chrono::seconds kGrpcCloseLimit{5};

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

// Takes messages as bytes, around which gRPC would build objects that copy each tensor.
class PredictService final
    : public ms_proto::MSService::WithRawCallbackMethod_Predict<ms_proto::MSService::Service> {
 public:
  explicit PredictService(Dispatcher* dispatcher) : dispatcher_(*dispatcher) {}

  grpc::ServerUnaryReactor* Predict(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* message,
                                    grpc::ByteBuffer* reply) override {
    auto* call = new PredictCall;  // Its own owner.
    // The message belongs to this call alone and nobody reads it again, so its memory goes now.
    Result<PredictRequest> read = Read(const_cast<grpc::ByteBuffer*>(message));
    if (!read.ok()) {
      call->Finish({grpc::StatusCode::INVALID_ARGUMENT, read.status().message()});
      return call;
    }
    const auto finish = [call, reply, target = read->target](const ClientReply& result) {
      *reply = ToByteBuffer(
          WritePredictReply(target, result.error, result.output_names, result.instances));
      call->Finish(grpc::Status::OK);  // Errors travel inside the reply.
    };
    if (!read->refused.ok()) {
      finish({read->refused, {}, {}, {}});
      return call;
    }
    dispatcher_.Dispatch({.servable = std::move(read->target.servable),
                          .method = std::move(read->target.method),
                          .version = read->target.version,
                          .instances = std::move(read->instances),
                          .deadline = ToDeadline(context->deadline()),
                          .cancel = call->cancel()},
                         finish);
    return call;
  }

 private:
  Result<PredictRequest> Read(grpc::ByteBuffer* message) const {
    return ReadOnce(message, [this](auto* stream, size_t bytes) {
      return ReadPredictRequest(stream, bytes, [this](const PredictTarget& target, size_t wanted) {
        return dispatcher_.MakeRoom(target.servable, target.version, wanted);
      });
    });
  }

  Dispatcher& dispatcher_;
};

// The address that gRPC is given, checked.
Result<std::string> CheckAddress(const std::string& address) {
  if (IsUnixAddress(address)) return ResolveUnixAddress(address);
  PIPESERVE_RETURN_IF_ERROR(ParseHostPort(address, "Serving gRPC").status());
  return address;
}

}  // namespace

class GrpcDoor::Impl {
 public:
  explicit Impl(Dispatcher* dispatcher) : service_(dispatcher) {}

  Status Open(const ListenOptions& options) {
    PIPESERVE_ASSIGN_OR_RETURN(const std::string address, CheckAddress(options.address));
    PIPESERVE_ASSIGN_OR_RETURN(auto credentials, MakeServerCredentials(options.ssl));
    grpc::ServerBuilder builder;
    LimitConnections(&builder);
    LimitIdleConnections(&builder);
    builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_message_bytes));
    builder.SetMaxSendMessageSize(static_cast<int>(options.max_message_bytes));
    builder.RegisterService(&service_);
    auto listener = GrpcListener::Bind(address, credentials, options.max_connections, &builder);
    if (listener.ok()) server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      return Unavailable(
          StrCat("Serving Error: Serving gRPC server start failed, create server failed, address ",
                 options.address));
    }
    listener_ = *std::move(listener);
    listener_->Start();
    return OkStatus();
  }

  const std::string& address() const { return listener_->address(); }

  void Close() {
    if (listener_ != nullptr) listener_->Stop();
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + kGrpcCloseLimit);
  }

 private:
  PredictService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<GrpcListener> listener_;  // Of the server.
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
