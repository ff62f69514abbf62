// Fuzzes the head parsers with the validator behind them. The first byte chooses request or response; the rest is the
// message. Beyond "no crash":
// - views lie inside the input
// - a head that arrives byte by byte is judged as one that arrives at once
// - what is accepted, written down canonically and read again, has the same fields, framing and target
// - what is accepted, Boost.Beast accepts as well, with the same fields and the same framing
#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gateway/http/h1_parser.hpp"
#include "gateway/http/validate.hpp"
#include "tests/fuzz/require.hpp"

using namespace gatehouse::http;
using gatehouse::fuzz::require;
namespace beast = boost::beast::http;

namespace {

constexpr std::size_t most_bytes_one_by_one = 2048;

ParseResult parse(std::string_view bytes, const HeadLimits& limits, std::size_t& scanned, RequestHead& head) {
  return parse_request_head(bytes, limits, scanned, head);
}
ParseResult parse(std::string_view bytes, const HeadLimits& limits, std::size_t& scanned, ResponseHead& head) {
  return parse_response_head(bytes, limits, scanned, head);
}

template <typename Head>
ParseResult parse_at_once(std::string_view bytes, const HeadLimits& limits, Head& head) {
  std::size_t scanned = 0;
  const ParseResult result = parse(bytes, limits, scanned, head);
  require(scanned == (result.status == ParseStatus::need_more ? bytes.size() : 0), "scanned is kept");
  return result;
}

using FieldList = std::vector<std::pair<std::string, std::string>>;

FieldList list(const Fields& fields) {
  FieldList out;
  for (const Field& field : fields.all()) out.emplace_back(field.name, field.value);
  return out;
}

bool inside(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

void check_fields(const Fields& fields, std::string_view input) {
  for (const Field& field : fields.all()) {
    require(inside(field.name, input) && inside(field.value, input), "fields lie inside the input");
    require(!field.name.empty(), "names are not empty");
    require(field.id == field_id(field.name), "ids fit names");
    require(field.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos, "values are one line");
    require(fields.has(field.id) && fields.find(field.id)->id == field.id, "fields are found");
  }
}

/// However the bytes arrive, the answer is the same; for what is refused, at the latest when as much again has come.
template <typename Head>
void check_byte_by_byte(std::string_view input, const HeadLimits& limits, const ParseResult& expected,
                        const Head& head) {
  if (input.empty() || input.size() > most_bytes_one_by_one) return;
  const std::string bytes = std::string(input) + std::string(input.size() + 1, 'x');
  Head again;
  std::size_t scanned = 0;
  ParseResult result;
  std::size_t size = 0;
  while (result.status == ParseStatus::need_more && size < bytes.size()) {
    result = parse(std::string_view(bytes).substr(0, ++size), limits, scanned, again);
    if (size == input.size() && expected.status == ParseStatus::need_more) {
      require(result.status == ParseStatus::need_more, "byte by byte needs more too");
      return;
    }
  }
  require(result.status == expected.status, "byte by byte gives the same answer");
  if (expected.status != ParseStatus::complete) return;
  require(size <= input.size() && result.head_bytes == expected.head_bytes, "byte by byte ends at the same byte");
  require(list(again.fields) == list(head.fields), "byte by byte gives the same fields");
}

std::string field_lines(const Fields& fields) {
  std::string out;
  for (const Field& field : fields.all()) out.append(field.name).append(": ").append(field.value).append("\r\n");
  return out.append("\r\n");
}

FieldList sorted_in_lower_case(FieldList fields) {
  for (auto& [name, value] : fields) {
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  std::ranges::sort(fields);
  return fields;
}

/// What Boost.Beast makes of a head that we accepted. It is the laxer of the two, so it must accept.
template <bool is_request>
void check_against_beast(std::string_view head_bytes, const Fields& fields, int minor_version,
                         const BodyFraming& framing, bool body_is_judged) {
  beast::parser<is_request, beast::empty_body> parser;
  parser.header_limit(std::numeric_limits<std::uint32_t>::max());
  parser.body_limit(boost::none);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(head_bytes.data(), head_bytes.size()), error);
  if (error && error != beast::error::need_more && error != beast::error::unexpected_body) {
    std::fprintf(stderr, "Beast says: %s\n", error.message().c_str());
    require(false, "Beast accepts what we accept");
  }
  require(parser.is_header_done(), "Beast sees the end of the head");
  FieldList theirs;
  for (const auto& field : parser.get()) theirs.emplace_back(field.name_string(), field.value());
  require(sorted_in_lower_case(theirs) == sorted_in_lower_case(list(fields)), "Beast sees the same fields");
  require(parser.get().version() == 10U + static_cast<unsigned>(minor_version), "Beast sees the same version");
  if (!body_is_judged) return;
  require(parser.chunked() == (framing.kind == BodyKind::chunked), "Beast agrees on chunked");
  require(parser.content_length().has_value() == (framing.kind == BodyKind::length), "Beast agrees on a length");
  if (framing.kind == BodyKind::length)
    require(*parser.content_length() == framing.length, "Beast agrees on the length");
  if (!is_request)
    require(parser.need_eof() == (framing.kind == BodyKind::until_close), "Beast agrees on reading to the end");
}

void check_request(std::string_view input, const HeadLimits& limits) {
  RequestHead head;
  const ParseResult result = parse_at_once(input, limits, head);
  check_byte_by_byte(input, limits, result, head);
  if (result.status != ParseStatus::complete) return;
  require(result.head_bytes <= input.size() && result.head_bytes <= limits.header_bytes,
          "the head is as long as allowed");
  require(head.fields.size() <= limits.header_count, "no more fields than allowed");
  require(inside(head.target, input) && inside(head.method_name, input), "the request line lies inside the input");
  require(!head.target.empty() && head.target.size() <= limits.target_bytes, "the target is as long as allowed");
  check_fields(head.fields, input);

  const auto framing = request_framing(head);
  const auto target = request_target(head);
  if (!framing || !target) return;
  require(framing->kind != BodyKind::until_close, "a request does not end with its connection");

  const std::string version = " HTTP/1." + std::to_string(head.minor_version) + "\r\n";
  const std::string path = target->has_query ? target->path + "?" + std::string(target->query) : target->path;
  for (const std::string& written : {std::string(head.target), std::string(target->as_received), path}) {
    const std::string canonical = std::string(head.method_name) + " " + written + version + field_lines(head.fields);
    RequestHead again;
    HeadLimits wide;
    wide.header_bytes = canonical.size();
    wide.underscores_allowed = true;
    require(parse_at_once(std::string_view(canonical), wide, again).status == ParseStatus::complete,
            "canonical form is accepted");
    require(list(again.fields) == list(head.fields), "canonical form has the same fields");
    require(again.method == head.method && again.minor_version == head.minor_version,
            "canonical form has the same line");
    require(request_framing(again) == framing, "canonical form has the same framing");
    const auto target_again = request_target(again);
    require(target_again.has_value(), "canonical form has a target");
    require(target_again->path == target->path && target_again->query == target->query &&
                target_again->has_query == target->has_query,
            "canonical form has the same path and query");
    if (head.fields.has(FieldId::host)) {
      require(target_again->host == target->host && target_again->port == target->port,
              "canonical form has the same host");
    }
  }

  std::string_view head_bytes = input.substr(0, result.head_bytes);
  if (head_bytes.starts_with("\r\n"))
    head_bytes.remove_prefix(2);  // Beast does not skip what RFC 9112 section 2.2 says to skip
  check_against_beast<true>(head_bytes, head.fields, head.minor_version, *framing, true);
}

void check_response(std::string_view input, const HeadLimits& limits) {
  ResponseHead head;
  const ParseResult result = parse_at_once(input, limits, head);
  check_byte_by_byte(input, limits, result, head);
  if (result.status != ParseStatus::complete) return;
  require(result.head_bytes <= input.size(), "the head is as long as the input at most");
  require(head.status >= 100 && head.status <= 599, "the status is in range");
  require(head.reason.empty() || inside(head.reason, input), "the reason lies inside the input");
  check_fields(head.fields, input);

  for (const Method method : {Method::get, Method::head}) {
    const auto framing = response_framing(head, method);
    if (!framing) return;
    const bool bodyless = head.status < 200 || head.status == 204 || head.status == 304 || method == Method::head;
    require(!bodyless || framing->kind == BodyKind::none, "no body where none may be");
    require(bodyless || framing->kind != BodyKind::none, "a body where one may be");

    const std::string canonical = "HTTP/1." + std::to_string(head.minor_version) + " " + std::to_string(head.status) +
                                  " " + std::string(head.reason) + "\r\n" + field_lines(head.fields);
    ResponseHead again;
    HeadLimits wide;
    wide.header_bytes = canonical.size();
    wide.underscores_allowed = true;
    require(parse_at_once(std::string_view(canonical), wide, again).status == ParseStatus::complete,
            "canonical form is accepted");
    require(list(again.fields) == list(head.fields), "canonical form has the same fields");
    require(again.status == head.status && again.reason == head.reason, "canonical form has the same line");
    require(response_framing(again, method) == framing, "canonical form has the same framing");
    // Beast wants the space behind the status, so it gets the canonical form.
    check_against_beast<false>(canonical, head.fields, head.minor_version, *framing, !bodyless);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const unsigned choice = data[0];
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  HeadLimits limits;
  if ((choice & 2) != 0) limits = {.target_bytes = 40, .header_bytes = 300, .header_count = 5};
  limits.underscores_allowed = (choice & 4) != 0;
  if ((choice & 1) == 0) {
    check_request(input, limits);
  } else {
    check_response(input, limits);
  }
  return 0;
}
