// What answers the challenges of CAs that are under way (RFC 8555 section 8.3, RFC 8737). Immutable; each worker has a
// pointer to the present ones.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "gateway/net/tls.hpp"

namespace gatehouse::filter {

struct Challenges {
  std::map<std::string, std::string, std::less<>> http;  // token, key authorization
  std::map<std::string, std::shared_ptr<const net::ServerTls>, std::less<>> tls;  // by name
};

}  // namespace gatehouse::filter
