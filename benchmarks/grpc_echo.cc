// The limit that predict is measured against: a bare gRPC server that parses nothing. It takes a
// request's bytes as they come and sends ready-made bytes of a reply's size.
//
// Usage: pipeserve_bench_echo. Prints "listening on 127.0.0.1:PORT" and serves until stdin closes.

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <iostream>
#include <string>

#include "ms_service.pb.h"

namespace {

// What predict answers: two float32[128,16] outputs.
grpc::ByteBuffer MakeReply() {
  mindspore::serving::proto::PredictReply reply;
  auto& items = *reply.add_instances()->mutable_items();
  for (const char* name : {"x", "z"}) {
    auto& tensor = items[name];
    tensor.set_dtype(mindspore::serving::proto::MS_FLOAT32);
    tensor.mutable_shape()->add_dims(128);
    tensor.mutable_shape()->add_dims(16);
    tensor.set_data(std::string(128 * 16 * sizeof(float), '\0'));
  }
  const grpc::Slice slice(reply.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

// One unary call: read the request, write the reply, finish.
class EchoReactor : public grpc::ServerGenericBidiReactor {
 public:
  explicit EchoReactor(const grpc::ByteBuffer& reply) : reply_(reply) { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status(grpc::StatusCode::INTERNAL, "no request"));
    StartWriteAndFinish(&reply_, grpc::WriteOptions(), grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer request_;
  grpc::ByteBuffer reply_;
};

class EchoService : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    return new EchoReactor(reply_);
  }

 private:
  const grpc::ByteBuffer reply_ = MakeReply();
};

}  // namespace

int main() {
  EchoService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterCallbackGenericService(&service);
  builder.SetMaxReceiveMessageSize(-1);
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  std::cout << "listening on 127.0.0.1:" << port << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
  }
  server->Shutdown();
  return 0;
}
