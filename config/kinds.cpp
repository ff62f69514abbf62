// The kinds of numbers and words, and what lists have in common. See kinds.hpp.
#include "config/kinds.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/spelling.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

constexpr std::string_view kNumber = "(0|[1-9][0-9]*)";

JsonObject schema_of_pattern(std::string_view pattern) {
  JsonObject schema = schema_of_type("string");
  schema.add_string("pattern", pattern);
  return schema;
}

/// Reports `parsed`'s error; true if there is none.
template <class T>
bool good(Source& source, const Node& node, const Parsed<T>& parsed) {
  if (!parsed) source.error(node.at, parsed.error());
  return parsed.has_value();
}

template <class T, class Show>
bool in_range(Source& source, const Node& node, T value, T least, T most, Show show) {
  if (value >= least && value <= most) return true;
  source.error(node.at, fmt::format("{} is out of range: {} to {}", cite(node.text), show(least), show(most)));
  return false;
}

std::string_view yes_or_no(std::string_view word) {
  const std::string lower = to_lower(word);
  if (lower == "yes" || lower == "on" || lower == "true" || lower == "1" || lower == "y") return "true";
  if (lower == "no" || lower == "off" || lower == "false" || lower == "0" || lower == "n") return "false";
  return {};
}

}  // namespace

const std::string* text_of(Source& source, const Node& node, std::string_view expected) {
  if (node.kind == Node::Kind::refused) return nullptr;
  if (node.kind != Node::Kind::scalar) {
    source.error(node.at, fmt::format("{} is expected here, not {}", expected, describe(node.kind)));
    return nullptr;
  }
  const auto control =
      std::ranges::find_if(node.text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
  if (control != node.text.end()) {
    source.error(node.at, fmt::format("{} is expected here, in one line and without the control character {}", expected,
                                      cite({&*control, 1})));
    return nullptr;
  }
  return &node.text;
}

const std::string* plain_text_of(Source& source, const Node& node, std::string_view expected) {
  const std::string* text = text_of(source, node, expected);
  if (text == nullptr || !node.quoted) return text;
  source.error(node.at,
               fmt::format("{} is expected here, without quotes: \"{}\" is text", expected, printable(*text, 60)));
  return nullptr;
}

namespace {

/// What the core schema of YAML 1.2 takes an unquoted scalar for, if not for text.
std::string_view bare_type(std::string_view text) {
  const std::string lower = to_lower(text);
  if (lower == "true" || lower == "false") return "a boolean";
  if (lower == "null" || text == "~") return "null";
  std::string_view digits = text;
  if (digits.starts_with("0x"))
    return digits.size() > 2 && digits.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string_view::npos
               ? "a number"
               : "";
  if (digits.starts_with("0o"))
    return digits.size() > 2 && digits.find_first_not_of("01234567", 2) == std::string_view::npos ? "a number" : "";
  if (digits.starts_with('-') || digits.starts_with('+')) digits.remove_prefix(1);
  if (digits == ".inf" || digits == ".Inf" || digits == ".INF" || lower == ".nan") return "a number";
  const auto skip_digits = [&] {
    const std::size_t count = std::min(digits.find_first_not_of("0123456789"), digits.size());
    digits.remove_prefix(count);
    return count;
  };
  std::size_t count = skip_digits();
  if (digits.starts_with('.')) {
    digits.remove_prefix(1);
    count += skip_digits();
  }
  if (count == 0) return "";
  if (digits.starts_with('e') || digits.starts_with('E')) {
    digits.remove_prefix(1);
    if (digits.starts_with('-') || digits.starts_with('+')) digits.remove_prefix(1);
    if (skip_digits() == 0) return "";
  }
  return digits.empty() ? "a number" : "";
}

}  // namespace

const std::string* string_of(Source& source, const Node& node, std::string_view expected) {
  const std::string* text = text_of(source, node, expected);
  if (text == nullptr || node.quoted) return text;
  const std::string_view type = bare_type(*text);
  if (type.empty()) return text;
  source.error(node.at, fmt::format("{} is expected here, and {} is {} in YAML: write \"{}\" if it is meant", expected,
                                    cite(*text), type, printable(*text, 60)));
  return nullptr;
}

bool is_off(const Node& node) noexcept {
  return node.text == "off" || node.text == "none" || (node.text == "false" && !node.quoted);
}

bool Duration::read(Source& source, const Node& node, Milliseconds& out) const {
  const std::string* text = text_of(source, node, "a duration such as 10s");
  if (text == nullptr) return false;
  const auto value = parse_duration(*text);
  if (!good(source, node, value) || !in_range(source, node, *value, least, most, show_duration)) return false;
  out = *value;
  return true;
}

JsonObject Duration::schema() const { return schema_of_pattern(fmt::format("^{}(ms|s|m|h)$", kNumber)); }

bool Size::read(Source& source, const Node& node, std::size_t& out) const {
  const std::string* text = text_of(source, node, "a size such as 16KiB");
  if (text == nullptr) return false;
  const auto value = parse_size(*text);
  if (!good(source, node, value) || !in_range(source, node, *value, least, most, show_size)) return false;
  out = *value;
  return true;
}

JsonObject Size::schema() const { return schema_of_pattern(fmt::format("^{}(B|KiB|MiB|GiB|TiB)$", kNumber)); }

bool SizePerSecond::read(Source& source, const Node& node, std::size_t& out) const {
  const std::string* text = text_of(source, node, "a size per second such as 240B/s, or off");
  if (text == nullptr) return false;
  if (is_off(node)) {
    out = 0;
    return true;
  }
  const auto value = parse_size_per_second(*text);
  if (!good(source, node, value) || !in_range(source, node, *value, std::uint64_t{0}, most, show_size)) return false;
  out = *value;
  return true;
}

JsonObject SizePerSecond::schema() const {
  JsonObject schema;
  schema.add("anyOf", json_array({schema_of_pattern(fmt::format("^{}(B|KiB|MiB|GiB|TiB)/s$", kNumber)).to_string(),
                                  R"({"enum":["off",false]})"}));
  return schema;
}

bool RateKind::read(Source& source, const Node& node, Rate& out) const {
  const std::string* text = text_of(source, node, "a rate such as 10/s");
  if (text == nullptr) return false;
  const auto value = parse_rate(*text);
  if (!good(source, node, value)) return false;
  if (value->count == 0) {
    source.error(node.at, fmt::format("{} lets nobody in; to refuse all, use access: {{deny: [...]}}", cite(*text)));
    return false;
  }
  if (!in_range(source, node, value->count, std::uint64_t{1}, most, [](std::uint64_t n) { return std::to_string(n); }))
    return false;
  out = *value;
  return true;
}

JsonObject RateKind::schema() const { return schema_of_pattern("^[1-9][0-9]*/[smh]$"); }

std::optional<std::uint64_t> Integer::parse(Source& source, const Node& node) const {
  const std::string* text = plain_text_of(source, node, "a whole number");
  if (text == nullptr) return std::nullopt;
  const auto value = parse_integer(*text);
  if (!good(source, node, value)) return std::nullopt;
  if (!in_range(source, node, *value, least, most, [](std::uint64_t n) { return std::to_string(n); }))
    return std::nullopt;
  return *value;
}

JsonObject Integer::schema() const {
  JsonObject schema = schema_of_type("integer");
  schema.add("minimum", std::to_string(least)).add("maximum", std::to_string(most));
  return schema;
}

bool ProcessorShare::read(Source& source, const Node& node, std::uint32_t& out) const {
  const std::string* text = text_of(source, node, "a share of a processor such as 50%");
  if (text == nullptr) return false;
  const std::string_view all = *text;
  const std::size_t digits = std::min(all.find_first_of("%m."), all.size());
  const auto whole = parse_integer(all.substr(0, digits));
  std::string thousandths(all.substr(std::min(digits + 1, all.size())));  // behind a point
  const bool has_point = all.substr(digits).starts_with('.');
  const bool is_fraction = has_point && !thousandths.empty() && thousandths.size() <= 3 &&
                           thousandths.find_first_not_of("0123456789") == std::string::npos;
  if (!whole || *whole > 1'000'000 || (digits != all.size() && !is_fraction && digits + 1 != all.size()) ||
      (has_point && !is_fraction)) {
    source.error(node.at, fmt::format("{} is no share of a processor; write for instance 50%, 0.5 or 500m", cite(all)));
    return false;
  }
  std::uint64_t value = *whole * (all.ends_with('%') ? 10 : all.ends_with('m') ? 1 : 1000);
  if (is_fraction) {
    thousandths.resize(3, '0');
    value += (thousandths[0] - '0') * 100U + (thousandths[1] - '0') * 10U + (thousandths[2] - '0');
  }
  if (!in_range(source, node, value, std::uint64_t{0}, std::uint64_t{most},
                [](std::uint64_t n) { return fmt::format("{}m", n); }))
    return false;
  out = static_cast<std::uint32_t>(value);
  return true;
}

JsonObject ProcessorShare::schema() const {
  JsonObject schema;
  JsonObject number = schema_of_type("number");
  number.add("minimum", "0").add("maximum", std::to_string(most / 1000));
  schema.add("anyOf", json_array({schema_of_pattern(fmt::format("^{}([%m]|[.][0-9]{{1,3}})?$", kNumber)).to_string(),
                                  number.to_string()}));
  return schema;
}

std::string ProcessorShare::show(std::uint32_t value) const {
  return value == 0 ? "0" : json_string(fmt::format("{}m", value));
}

bool Workers::read(Source& source, const Node& node, unsigned& out) const {
  if (node.kind == Node::Kind::scalar && node.text == "auto") {
    out = 0;
    return true;
  }
  if (node.kind == Node::Kind::scalar && parse_integer(node.text)) return Integer{1, 256}.read(source, node, out);
  if (node.kind != Node::Kind::refused) source.error(node.at, "auto or a whole number from 1 to 256 is expected here");
  return false;
}

JsonObject Workers::schema() const {
  JsonObject schema;
  schema.add("anyOf", json_array({R"({"const":"auto"})", Integer{1, 256}.schema().to_string()}));
  return schema;
}

bool Boolean::read(Source& source, const Node& node, bool& out) const {
  const std::string* text = plain_text_of(source, node, "true or false");
  if (text == nullptr) return false;
  if (*text == "true" || *text == "false") {
    out = *text == "true";
    return true;
  }
  const std::string_view meant = yes_or_no(*text);
  source.error(node.at, fmt::format("{} is neither true nor false{}", cite(*text),
                                    meant.empty() ? std::string() : fmt::format("; write {}", meant)));
  return false;
}

std::optional<std::size_t> Words::index(Source& source, const Node& node) const {
  std::string expected = "one of ";
  for (std::size_t i = 0; i < known.size(); ++i) expected += fmt::format("{}'{}'", i == 0 ? "" : ", ", known[i]);
  const std::string* text = text_of(source, node, expected);
  if (text == nullptr) return std::nullopt;
  auto found = std::ranges::find(known, *text);
  if (found == known.end() && *text == "false" && !node.quoted) found = std::ranges::find(known, "off");
  if (found != known.end()) return static_cast<std::size_t>(found - known.begin());
  for (const auto& [word, instead] : unavailable) {
    if (*text != word) continue;
    source.error(node.at, not_in_this_version(word, instead));
    return std::nullopt;
  }
  source.error(node.at, fmt::format("{} is not known here{}", cite(*text), suggestion(*text, known)));
  return std::nullopt;
}

JsonObject Words::schema() const {
  std::vector<std::string> items;
  for (const std::string_view word : known) {
    items.push_back(json_string(word));
    if (word == "true" || word == "false") items.emplace_back(word);
    if (bare_type(word) == "a number") items.emplace_back(word);  // "1.3" is taken without quotes, too
    if (word == "off") items.emplace_back("false");
  }
  JsonObject schema;
  schema.add("enum", json_array(items));
  return schema;
}

bool check_list(Source& source, const Node& node, std::size_t least, std::size_t most) {
  if (node.kind == Node::Kind::refused) return false;
  if (node.kind != Node::Kind::sequence) {
    source.error(node.at, node.kind == Node::Kind::scalar
                              ? fmt::format("a list is expected here: write [{}]", printable(node.text, 60))
                              : fmt::format("a list is expected here, not {}", describe(node.kind)));
    return false;
  }
  if (node.items.size() < least) {
    source.error(node.at,
                 least == 1 ? "this list must not be empty" : fmt::format("this list has fewer than {} items", least));
    return false;
  }
  if (node.items.size() > most) {
    source.error(node.at, fmt::format("this list has {} items; at most {} are accepted", node.items.size(), most));
    return false;
  }
  return true;
}

bool check_named(Source& source, const Node& node, std::size_t least, std::size_t most) {
  if (node.kind == Node::Kind::refused) return false;
  if (node.kind != Node::Kind::mapping) {
    source.error(node.at,
                 fmt::format("a mapping from names to settings is expected here, not {}", describe(node.kind)));
    return false;
  }
  if (node.members.size() < least) {
    source.error(node.at, "at least one must be given here");
    return false;
  }
  if (node.members.size() > most) {
    source.error(node.at, fmt::format("{} are given here; at most {} are accepted", node.members.size(), most));
    return false;
  }
  return true;
}

}  // namespace gatehouse::config
