// Files for TLS, of either end of a connection. All are PEM.
#pragma once

#include <string>

namespace [[gnu::visibility("default")]] pipeserve {

// Of a door. It reads the files again when they change.
struct SslOptions {
  std::string certificate_file = {};  // The chain of the server.
  std::string private_key_file = {};
  std::string custom_ca_file = {};  // Verifies clients; used only with verify_client.
  bool verify_client = false;
};

// Of whoever comes to a door.
struct ClientSslOptions {
  std::string certificate_file = {};  // With private_key_file, or neither.
  std::string private_key_file = {};
  std::string custom_ca_file = {};  // Verifies the server; empty: the authorities of the system.
};

}  // namespace pipeserve
