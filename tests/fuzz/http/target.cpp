// Fuzzes hosts and targets: the first line is a Host, the rest a target. Beyond "no crash":
// - a normal path is normal: absolute, no longer than before, without "//", "." and "..", and normal when normalised
// again; and it is what a slow normaliser makes of it that does one step after another
// - a host is in lower case, and means itself when read again
// - the target for the WAF has no "%3f" in its path, and nothing else is changed
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/http/h1_parser.hpp"
#include "gateway/http/validate.hpp"
#include "tests/fuzz/require.hpp"

using namespace gatehouse::http;
using gatehouse::fuzz::require;

namespace {

bool has_segment(std::string_view path, std::string_view segment) {
  const std::string inner = "/" + std::string(segment) + "/";
  return path.find(inner) != std::string_view::npos || path.ends_with(inner.substr(0, inner.size() - 1));
}

/// RFC 3986 section 6.2.2, a step at a time: decode, merge slashes, walk the segments. None where a path is refused.
std::optional<std::string> normalise_slowly(std::string_view path) {
  if (!path.starts_with('/')) return std::nullopt;
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string decoded;
  for (std::size_t at = 0; at < path.size(); ++at) {
    if (path[at] != '%') {
      decoded += path[at];
      continue;
    }
    unsigned value = 0;
    for (std::size_t digit = 1; digit <= 2; ++digit) {
      if (at + digit >= path.size()) return std::nullopt;
      const char c = path[at + digit];
      const std::size_t number = digits.find(c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c);
      if (number == std::string_view::npos) return std::nullopt;
      value = value * 16 + static_cast<unsigned>(number);
    }
    at += 2;
    if (value == 0) return std::nullopt;
    if (plain.find(static_cast<char>(value)) != std::string_view::npos)
      decoded += static_cast<char>(value);
    else
      decoded.append({'%', digits[value / 16], digits[value % 16]});
  }
  std::vector<std::string> segments;
  bool directory = true;  // the path ends in a slash
  for (std::size_t at = 0; at < decoded.size();) {
    const std::size_t end = std::min(decoded.find('/', at), decoded.size());
    const std::string segment = decoded.substr(at, end - at);
    if (!segment.empty()) directory = end != decoded.size();
    for (const char* parameter : {";", "%3B"}) {
      const std::size_t begin = segment.find(parameter);
      if (segment.substr(0, begin) == "." || segment.substr(0, begin) == "..")
        if (begin != std::string::npos) return std::nullopt;
    }
    if (segment == "..") {
      if (segments.empty()) return std::nullopt;
      segments.pop_back();
      directory = true;
    } else if (segment == ".") {
      directory = true;
    } else if (!segment.empty()) {
      segments.push_back(segment);
    }
    at = end + 1;
  }
  std::string out;
  for (const std::string& segment : segments) out += "/" + segment;
  return directory || segments.empty() ? out + "/" : out;
}

void check_path(std::string_view path) {
  std::string out = "left over";
  const bool taken = normalise_path(path, out).has_value();
  const auto slowly = normalise_slowly(path);
  require(taken == slowly.has_value(), "both normalisers take it or refuse it");
  if (!taken) return;
  require(out == *slowly, "both normalisers make the same of it");
  require(out.starts_with('/') && out.size() <= path.size(), "a normal path is absolute and no longer");
  require(out.find("//") == std::string::npos, "a normal path has no double slash");
  require(!has_segment(out, ".") && !has_segment(out, ".."), "a normal path has no dot segments");
  require(out.find("/..;") == std::string::npos && out.find("/.;") == std::string::npos,
          "nor are there any with parameters");
  for (std::size_t percent = out.find('%'); percent != std::string::npos; percent = out.find('%', percent + 1)) {
    require(percent + 2 < out.size(), "what stays encoded is whole");
    const std::string hex = out.substr(percent + 1, 2);
    require(hex.find_first_not_of("0123456789ABCDEF") == std::string::npos && hex != "00" && hex != "2E",
            "what stays encoded is in upper case");
  }
  std::string again;
  require(normalise_path(out, again).has_value() && again == out, "a normal path is normal");
}

void check_host(std::string_view text) {
  std::string host;
  std::uint16_t port = 0;
  if (!parse_host(text, host, port)) return;
  require(!host.empty() && host.size() <= 253, "a host is as long as a name may be");
  require(host.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.:[]") == std::string::npos,
          "a host is in lower case");
  require(host.back() != '.', "a host has no trailing dot");
  std::string again;
  std::uint16_t port_again = 0;
  require(parse_host(host, again, port_again) && again == host && port_again == 0, "a host means itself");
  require(parse_host(host + ":" + std::to_string(port), again, port_again) && again == host && port_again == port,
          "a host with its port means itself");
}

std::string decode_question_marks(std::string_view path) {
  std::string out(path);
  for (std::size_t at = 0; (at = out.find("%253", at)) != std::string::npos; ++at) {
    if (at + 4 < out.size() && (out[at + 4] | 0x20) == 'f') out.erase(at + 1, 2);
  }
  return out;
}

void check_waf(std::string_view target) {
  std::string storage = "left over";
  const std::string_view out = target_for_waf(target, storage);
  const std::size_t question = target.find('?');
  const std::string_view path = out.substr(0, out.find('?'));
  require(out.substr(path.size()) == (question == std::string_view::npos ? "" : target.substr(question)),
          "the query stays as it is");
  for (const std::string_view encoded : {"%3f", "%3F"}) {
    require(path.find(encoded) == std::string_view::npos, "no encoded question mark is left");
  }
  require(decode_question_marks(path) == decode_question_marks(target.substr(0, question)), "nothing else is changed");
}

void check_request(std::string_view host, std::string_view target) {
  const std::string message = "GET " + std::string(target) + " HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n";
  RequestHead head;
  std::size_t scanned = 0;
  if (parse_request_head(message, {}, scanned, head).status != ParseStatus::complete) return;
  const auto parts = request_target(head);
  if (!parts) return;
  require(
      parts->host ==
          [&] {
            std::string expected;
            std::uint16_t port = 0;
            (void)parse_host(head.fields.find(FieldId::host)->value, expected, port);
            return expected;
          }(),
      "the host is Host's");
  require(parts->as_received.starts_with('/'), "what the WAF gets begins with the path");
  const bool is_completed =
      parts->as_received == "/" ||  // "http://a.example", "http://a.example?b"
      (parts->as_received.starts_with("/?") && head.target.ends_with(parts->as_received.substr(1)));
  require(head.target.ends_with(parts->as_received) || is_completed, "and is what was received");
  std::string path;
  require(normalise_path(parts->as_received.substr(0, parts->as_received.find('?')), path).has_value() &&
              path == parts->path,
          "the path is that of what the WAF gets");
  require(parts->has_query == (parts->as_received.find('?') != std::string_view::npos), "the query is told");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  const std::string_view host = line == std::string_view::npos ? "a.example" : input.substr(0, line);
  const std::string_view target = line == std::string_view::npos ? input : input.substr(line + 1);
  check_path(target);
  check_path(target.substr(0, target.find('?')));
  check_host(host);
  check_waf(target);
  check_request(host, target);
  return 0;
}
