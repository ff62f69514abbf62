// What the parser and the validator together say of a message. For the tables of ambiguous and of legal messages.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "gateway/http/h1_parser.hpp"
#include "gateway/http/validate.hpp"

namespace gatehouse::http {

inline void PrintTo(ParseStatus status, std::ostream* out) {
  constexpr const char* names[] = {"complete",        "need_more",      "malformed",
                                   "target_too_long", "head_too_large", "version_unsupported"};
  *out << names[static_cast<unsigned>(status)];
}
inline void PrintTo(Refusal refusal, std::ostream* out) { *out << reason_text(refusal); }
inline void PrintTo(const BodyFraming& framing, std::ostream* out) {
  constexpr const char* names[] = {"none", "length", "chunked", "until_close"};
  *out << names[static_cast<unsigned>(framing.kind)] << ' ' << framing.length;
}

/// ParseStatus::complete if nothing is wrong.
using Outcome = std::variant<ParseStatus, Refusal>;

struct Judgement {
  Outcome outcome;
  const char* why = nullptr;
  BodyFraming framing;
  RequestTarget target;
};

inline Judgement judge_request(std::string_view bytes, RequestHead& head, const HeadLimits& limits = {}) {
  std::size_t scanned = 0;
  const ParseResult parsed = parse_request_head(bytes, limits, scanned, head);
  if (parsed.status != ParseStatus::complete) return {parsed.status, parsed.why, {}, {}};
  const auto framing = request_framing(head);
  if (!framing) return {framing.error(), reason_text(framing.error()), {}, {}};
  auto target = request_target(head);
  if (!target) return {target.error(), reason_text(target.error()), {}, {}};
  return {ParseStatus::complete, nullptr, *framing, std::move(*target)};
}

inline Judgement judge_response(std::string_view bytes, Method method, ResponseHead& head,
                                const HeadLimits& limits = {}) {
  std::size_t scanned = 0;
  const ParseResult parsed = parse_response_head(bytes, limits, scanned, head);
  if (parsed.status != ParseStatus::complete) return {parsed.status, parsed.why, {}, {}};
  const auto framing = response_framing(head, method);
  if (!framing) return {framing.error(), reason_text(framing.error()), {}, {}};
  return {ParseStatus::complete, nullptr, *framing, {}};
}

/// A GET with Host and these field lines, each without its CRLF.
inline std::string get_with(const std::vector<std::string>& lines) {
  std::string message = "GET / HTTP/1.1\r\nHost: a.example\r\n";
  for (const std::string& line : lines) message.append(line).append("\r\n");
  return message.append("\r\n");
}

/// A POST with Host and these field lines.
inline std::string post_with(const std::vector<std::string>& lines) { return "POST" + get_with(lines).substr(3); }

/// A GET for this target with Host a.example.
inline std::string get_target(std::string_view target) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: a.example\r\n\r\n";
}

/// A GET of / with this Host.
inline std::string get_host(std::string_view host) {
  return "GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n";
}

/// A 200 with these field lines.
inline std::string ok_with(const std::vector<std::string>& lines) {
  std::string message = "HTTP/1.1 200 OK\r\n";
  for (const std::string& line : lines) message.append(line).append("\r\n");
  return message.append("\r\n");
}

/// Names a table's row as gtest wants it.
template <typename Row>
std::string row_name(const testing::TestParamInfo<Row>& info) {
  return info.param.name;
}

}  // namespace gatehouse::http
