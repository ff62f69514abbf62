// Loop detection; see loop_detection.hpp.
#include "gateway/filter/loop_detection.hpp"

namespace gatehouse::filter {

namespace {

constexpr unsigned max_passes = 4;

// Entries of a CDN-Loop list whose cdn-id is ours; parameters after ";" are ignored (RFC 8586 section 2).
unsigned passes_in(std::string_view list) noexcept {
  unsigned passes = 0;
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    std::string_view entry = list.substr(0, comma);
    entry = entry.substr(0, entry.find(';'));
    while (!entry.empty() && (entry.front() == ' ' || entry.front() == '\t')) entry.remove_prefix(1);
    while (!entry.empty() && (entry.back() == ' ' || entry.back() == '\t')) entry.remove_suffix(1);
    if (http::equals_ignore_case(entry, "gatehouse")) ++passes;
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return passes;
}

}  // namespace

Step loop_detection_on_request(Exchange& exchange) {
  const http::Fields& fields = exchange.head.fields;
  if (const auto hops = http::hops_left(exchange.head)) {
    if (*hops == 0) {
      if (exchange.head.method == http::Method::options)
        exchange.answer(200, Reason::max_forwards, "The request ends here, as its Max-Forwards says.");
      else  // to reflect a request would show its credentials to scripts
        exchange.answer(501, Reason::max_forwards, "TRACE is not answered here.");
      return Step::answer;
    }
    exchange.request_fields += "max-forwards: " + std::to_string(*hops - 1) + "\r\n";
  }
  if (!fields.has(http::FieldId::cdn_loop)) return Step::next;
  unsigned passes = 0;
  for (const http::Field& field : fields.all())
    if (field.id == http::FieldId::cdn_loop) passes += passes_in(field.value);
  if (passes < max_passes) return Step::next;
  exchange.answer(508, Reason::loop, "The request has passed through this gateway too often.");
  return Step::answer;
}

}  // namespace gatehouse::filter
