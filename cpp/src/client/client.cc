#include "pipeserve/client.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <utility>

#include "base/mutex.h"
#include "base/str_cat.h"
#include "base/text_file.h"
#include "wire/grpc_bytes.h"
#include "wire/predict_message.h"

namespace pipeserve {
namespace {

constexpr int kMaxMessageBytes = 512 << 20;

Status CheckOptions(const ClientOptions& options) {
  const auto check = [](const std::string& value, std::string_view name) {
    return value.empty() ? InvalidArgument(StrCat(name, " of a client must not be empty"))
                         : OkStatus();
  };
  PIPESERVE_RETURN_IF_ERROR(check(options.address, "address"));
  PIPESERVE_RETURN_IF_ERROR(check(options.servable, "servable name"));
  PIPESERVE_RETURN_IF_ERROR(check(options.method, "method name"));
  if (options.timeout.count() < 0) {
    return InvalidArgument(
        StrCat("timeout of a client is ", options.timeout.count(), " ms, it must not be negative"));
  }
  if (options.ssl.has_value() &&
      options.ssl->certificate_file.empty() != options.ssl->private_key_file.empty()) {
    return InvalidArgument("The certificate and private_key should be passed at the same time");
  }
  return OkStatus();
}

// A file that may be left out.
Result<std::string> ReadOptionalFile(const std::string& path) {
  if (path.empty()) return std::string();
  return ReadTextFile(path);
}

Result<std::shared_ptr<grpc::ChannelCredentials>> MakeCredentials(
    const std::optional<ClientSslOptions>& ssl) {
  if (!ssl.has_value()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  PIPESERVE_ASSIGN_OR_RETURN(options.pem_root_certs, ReadOptionalFile(ssl->custom_ca_file));
  PIPESERVE_ASSIGN_OR_RETURN(options.pem_private_key, ReadOptionalFile(ssl->private_key_file));
  PIPESERVE_ASSIGN_OR_RETURN(options.pem_cert_chain, ReadOptionalFile(ssl->certificate_file));
  return grpc::SslCredentials(options);
}

// One request on its way; owned by its own callback.
struct Call {
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer reply;
};

Result<InferReply> Finish(const grpc::Status& status, Call* call) {
  if (status.ok()) return ReadOnce(&call->reply, ReadPredictReply);
  return Status(static_cast<StatusCode>(status.error_code()), status.error_message());
}

constexpr char kPredict[] = "/mindspore.serving.proto.MSService/Predict";

}  // namespace

class Client::Impl {
 public:
  Impl(ClientOptions options, std::shared_ptr<grpc::ChannelCredentials> credentials)
      : options_(std::move(options)) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
    arguments.SetMaxSendMessageSize(kMaxMessageBytes);
    stub_ = std::make_unique<grpc::GenericStub>(
        grpc::CreateCustomChannel(options_.address, credentials, arguments));
  }

  // The last callback has left this object, too: it counts down as its last act.
  ~Impl() {
    MutexLock lock(mutex_);
    while (in_flight_ > 0) none_in_flight_.Wait(mutex_);
  }

  Result<InferReply> Infer(std::span<const NamedInstance> instances) {
    const std::unique_ptr<Call> call = MakeCall(instances);
    // The calling thread itself does what the call needs.
    grpc::CompletionQueue queue;
    const auto exchange = stub_->PrepareUnaryCall(&call->context, kPredict, call->request, &queue);
    exchange->StartCall();
    grpc::Status status;
    exchange->Finish(&call->reply, &status, nullptr);
    void* tag = nullptr;
    bool done = false;
    queue.Next(&tag, &done);
    return Finish(status, call.get());
  }

  void InferAsync(std::span<const NamedInstance> instances,
                  std::function<void(Result<InferReply>)> done) {
    Call* call = MakeCall(instances).release();
    {
      MutexLock lock(mutex_);
      ++in_flight_;
    }
    stub_->UnaryCall(&call->context, kPredict, {}, &call->request, &call->reply,
                     [this, call, done = std::move(done)](const grpc::Status& status) mutable {
                       done(Finish(status, call));
                       // What both hold goes before the destructor may return. The call holds the
                       // channel, and a channel whose last reference goes on gRPC's own thread
                       // joins that very thread.
                       done = nullptr;
                       delete call;
                       MutexLock lock(mutex_);
                       if (--in_flight_ == 0) none_in_flight_.NotifyAll();
                     });
  }

 private:
  std::unique_ptr<Call> MakeCall(std::span<const NamedInstance> instances) const {
    auto call = std::make_unique<Call>();
    if (options_.timeout.count() > 0) {
      call->context.set_deadline(std::chrono::system_clock::now() + options_.timeout);
    }
    call->request = ToByteBuffer(
        WritePredictRequest({options_.servable, options_.method, options_.version}, instances));
    return call;
  }

  const ClientOptions options_;
  std::unique_ptr<grpc::GenericStub> stub_;
  Mutex mutex_;
  CondVar none_in_flight_;
  int in_flight_ GUARDED_BY(mutex_) = 0;
};

Result<std::unique_ptr<Client>> Client::Create(const ClientOptions& options) {
  PIPESERVE_RETURN_IF_ERROR(CheckOptions(options));
  PIPESERVE_ASSIGN_OR_RETURN(auto credentials, MakeCredentials(options.ssl));
  return std::unique_ptr<Client>(
      new Client(std::make_unique<Impl>(options, std::move(credentials))));
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

Result<InferReply> Client::Infer(std::span<const NamedInstance> instances) {
  return impl_->Infer(instances);
}

void Client::InferAsync(std::span<const NamedInstance> instances,
                        std::function<void(Result<InferReply>)> done) {
  impl_->InferAsync(instances, std::move(done));
}

}  // namespace pipeserve
