// Certificates for the tests of TLS.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "support/test_folder.h"

namespace pipeserve {

// Writes NAME.crt and NAME.key, a certificate for 127.0.0.1 that is its own authority.
inline void MakeCertificate(const TestFolder& dir, const std::string& name) {
  const std::string command =
      "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 "
      "-addext subjectAltName=IP:127.0.0.1 -keyout '" +
      dir.File(name + ".key") + "' -out '" + dir.File(name + ".crt") + "' 2>/dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0) << "the openssl program is needed";
}

}  // namespace pipeserve
