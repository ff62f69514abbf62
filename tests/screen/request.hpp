// A request of a corpus, as waf::Engine and the screen are given it.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "waf/waf.hpp"

namespace gatehouse::screen_test {

struct Request {
  std::string method;
  std::string target;  // as received
  std::string version;  // "1.1"
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

/// A line of tests/crs/benign/README.md's format.
[[nodiscard]] Request parse_request(const std::string& line);

/// The requests of a file with one in each line.
[[nodiscard]] std::vector<Request> read_requests(const std::string& file);

/// The request as the gateway hands it to the engine; `escaped` is where "%3f" is written "%253f" for it. Both must live.
[[nodiscard]] waf::RequestStart start_of(const Request& request, std::string& escaped);

}  // namespace gatehouse::screen_test
