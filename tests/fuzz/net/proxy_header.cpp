// Fuzzes PROXY headers. Beyond "no crash":
// - each prefix needs more until one decides, and no byte behind changes the decision
// - more is never needed beyond the bound; a header is never longer than the input
// - addresses written down in version 1 and read again are the same
#include <cstdint>
#include <string>

#include "gateway/net/proxy_header.hpp"
#include "tests/fuzz/require.hpp"

using namespace gatehouse;
using namespace gatehouse::net;
using gatehouse::fuzz::require;
using Status = ProxyHeader::Status;

namespace {

bool same(const ProxyHeader& a, const ProxyHeader& b) {
  return a.status == b.status && a.header_bytes == b.header_bytes && a.source == b.source &&
         a.destination == b.destination;
}

void check_version_1(const ProxyHeader& header) {
  const bool v6 = !header.source->ip.is_v4() || !header.destination->ip.is_v4();
  const auto text = [v6](const IpAddress& ip) { return (v6 && ip.is_v4() ? "::ffff:" : "") + ip.to_string(); };
  const std::string line = std::string("PROXY TCP") + (v6 ? "6 " : "4 ") + text(header.source->ip) + " " +
                           text(header.destination->ip) + " " + std::to_string(header.source->port) + " " +
                           std::to_string(header.destination->port) + "\r\n";
  ProxyHeader again = parse_proxy_header(line);
  require(again.header_bytes == line.size(), "version 1 takes its line");
  again.header_bytes = header.header_bytes;
  require(same(again, header), "version 1 carries the same addresses");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const ProxyHeader whole = parse_proxy_header(input);
  require((whole.why != nullptr) == (whole.status == Status::malformed), "a refusal has a reason");
  require(whole.status == Status::complete || (!whole.source && !whole.destination),
          "addresses of a whole header only");
  require(whole.status != Status::need_more || size < max_proxy_header_bytes, "the bound holds");
  require(whole.source.has_value() == whole.destination.has_value(), "both addresses or none");

  bool decided = false;
  const std::size_t step = size > 600 ? 97 : 1;
  for (std::size_t length = 0; length <= size; length += step) {
    const ProxyHeader prefix = parse_proxy_header(input.substr(0, length));
    if (decided) require(same(prefix, whole), "no byte behind changes a decision");
    if (prefix.status != Status::need_more) {
      decided = true;
      require(same(prefix, whole), "a decision is final");
      require(prefix.status != Status::complete || prefix.header_bytes <= length,
              "a header is not longer than its bytes");
    }
  }

  if (whole.status == Status::complete) {
    require(whole.header_bytes > 0 && whole.header_bytes <= size, "a header has bytes");
    require(same(parse_proxy_header(input.substr(0, whole.header_bytes)), whole),
            "a header needs no more than its bytes");
    require(parse_proxy_header(input.substr(0, whole.header_bytes - 1)).status == Status::need_more,
            "a header needs all its bytes");
    require(looks_like_proxy_header(input), "a header looks like one");
    if (whole.source) check_version_1(whole);
  }
  return 0;
}
