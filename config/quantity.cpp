// See quantity.hpp.
#include "config/quantity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "config/text.hpp"

namespace gatehouse::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr Unit kDurationUnits[] = {{"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}};
constexpr Unit kSizeUnits[] = {
    {"B", 1}, {"KiB", 1ULL << 10}, {"MiB", 1ULL << 20}, {"GiB", 1ULL << 30}, {"TiB", 1ULL << 40}};
constexpr Unit kRateUnits[] = {{"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}};

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

std::unexpected<std::string> wrong(std::string message) { return std::unexpected(std::move(message)); }

/// "10ms, 10s, 10m or 10h"
std::string examples(std::string_view number, std::string_view between, std::span<const Unit> units) {
  std::string out;
  for (std::size_t i = 0; i < units.size(); ++i) {
    if (i > 0) out += i + 1 == units.size() ? " or " : ", ";
    out += fmt::format("{}{}{}", number, between, units[i].name);
  }
  return out;
}

const Unit* find_unit(std::string_view name, std::span<const Unit> units) {
  const auto found = std::ranges::find(units, name, &Unit::name);
  return found == units.end() ? nullptr : &*found;
}

/// What people write for a unit that we do not take.
std::string_view meant_unit(std::string_view name) {
  static constexpr std::pair<std::string_view, std::string_view> table[] = {
      {"sec", "s"},  {"secs", "s"},  {"second", "s"}, {"seconds", "s"}, {"msec", "ms"}, {"millis", "ms"},
      {"min", "m"},  {"mins", "m"},  {"minute", "m"}, {"minutes", "m"}, {"hr", "h"},    {"hrs", "h"},
      {"hour", "h"}, {"hours", "h"}, {"k", "KiB"},    {"kb", "KiB"},    {"ki", "KiB"},  {"kib", "KiB"},
      {"m", "MiB"},  {"mb", "MiB"},  {"mi", "MiB"},   {"mib", "MiB"},   {"g", "GiB"},   {"gb", "GiB"},
      {"gi", "GiB"}, {"gib", "GiB"}, {"t", "TiB"},    {"tb", "TiB"},    {"tib", "TiB"}, {"b", "B"},
      {"byte", "B"}, {"bytes", "B"}};
  const std::string key = to_lower(name);
  for (const auto& [word, unit] : table) {
    if (word == key) return unit;
  }
  return {};
}

Parsed<std::uint64_t> scaled(std::string_view text, std::string_view number, std::uint64_t factor) {
  const auto value = parse_integer(number);
  if (!value) return value;
  if (*value > std::numeric_limits<std::int64_t>::max() / factor)
    return wrong(fmt::format("{} is too large", cite(text)));
  return *value * factor;
}

/// "NUMBER UNIT" without a blank between them.
Parsed<std::uint64_t> parse_with_unit(std::string_view text, std::span<const Unit> units, std::string_view what) {
  const auto digits = static_cast<std::size_t>(std::ranges::find_if_not(text, is_digit) - text.begin());
  const std::string_view number = text.substr(0, digits);
  const std::string_view unit_name = text.substr(digits);
  if (number.empty())
    return wrong(fmt::format("{} is not {}: write a whole number with its unit, such as {}", cite(text), what,
                             examples("10", "", units)));
  const std::string_view shown = number.size() > 12 ? "10" : number;
  if (unit_name.empty()) return wrong(fmt::format("{} has no unit: write {}", cite(text), examples(shown, "", units)));
  if (const Unit* unit = find_unit(unit_name, units)) return scaled(text, number, unit->factor);
  if (unit_name[0] == ' ')
    return wrong(fmt::format("{} has a blank before its unit: write {}", cite(text), examples(shown, "", units)));
  if (unit_name[0] == '.' || unit_name[0] == ',')
    return wrong(fmt::format("{} is not a whole number: take a smaller unit instead of a fraction", cite(text)));
  if (std::ranges::any_of(unit_name, is_digit))
    return wrong(fmt::format("{} is not one number with one unit: write {}", cite(text), examples(shown, "", units)));
  const std::string_view meant = meant_unit(unit_name);
  if (find_unit(meant, units) != nullptr)
    return wrong(fmt::format("{} has an unknown unit: write {}{}", cite(text), shown, meant));
  return wrong(fmt::format("{} has an unknown unit: write {}", cite(text), examples(shown, "", units)));
}

}  // namespace

Parsed<std::uint64_t> parse_integer(std::string_view text) {
  if (text.empty() || !std::ranges::all_of(text, is_digit)) {
    if (text.size() > 1 && (text[0] == '-' || text[0] == '+') && std::ranges::all_of(text.substr(1), is_digit)) {
      return wrong(fmt::format("{} has a sign: write decimal digits alone", cite(text)));
    }
    return wrong(fmt::format("{} is not a whole number: write decimal digits alone", cite(text)));
  }
  if (text.size() > 1 && text[0] == '0') {
    const auto significant = std::min(text.find_first_not_of('0'), text.size() - 1);
    return wrong(fmt::format("{} has leading zeros, which YAML reads as an octal number: write {}", cite(text),
                             printable(text.substr(significant), 20)));
  }
  std::uint64_t value = 0;
  for (const char c : text) {
    if (value > (std::numeric_limits<std::int64_t>::max() - 9) / 10)
      return wrong(fmt::format("{} is too large", cite(text)));
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

Parsed<Milliseconds> parse_duration(std::string_view text) {
  const auto value = parse_with_unit(text, kDurationUnits, "a duration");
  if (!value) return wrong(value.error());
  return Milliseconds(static_cast<std::int64_t>(*value));
}

Parsed<std::uint64_t> parse_size(std::string_view text) { return parse_with_unit(text, kSizeUnits, "a size"); }

Parsed<std::uint64_t> parse_size_per_second(std::string_view text) {
  if (!text.ends_with("/s"))
    return wrong(fmt::format("{} is not a size per second: write it as 240B/s or 1KiB/s", cite(text)));
  return parse_size(text.substr(0, text.size() - 2));
}

Parsed<Rate> parse_rate(std::string_view text) {
  const auto slash = text.find('/');
  const std::string_view number = text.substr(0, slash);
  if (slash == std::string_view::npos) {
    const bool digits = !text.empty() && text.size() <= 12 && std::ranges::all_of(text, is_digit);
    return wrong(
        fmt::format("{} is not a rate: write it as {}", cite(text), examples(digits ? text : "10", "/", kRateUnits)));
  }
  if (number.find_first_of(".,") != std::string_view::npos) {
    return wrong(
        fmt::format("{} has a fraction: take a longer period, such as 30/m for one in two seconds", cite(text)));
  }
  const auto count = parse_integer(number);
  if (!count) return wrong(count.error());
  const std::string_view unit_name = text.substr(slash + 1);
  const Unit* unit = find_unit(unit_name, kRateUnits);
  if (unit == nullptr) {
    const std::string_view meant = meant_unit(unit_name);
    const std::string_view shown = number.size() > 12 ? "10" : number;
    return wrong(fmt::format("{} has an unknown period: write {}", cite(text),
                             find_unit(meant, kRateUnits) != nullptr ? fmt::format("{}/{}", shown, meant)
                                                                     : examples(shown, "/", kRateUnits)));
  }
  return Rate{*count, Milliseconds(static_cast<std::int64_t>(unit->factor))};
}

std::string show_duration(Milliseconds value) {
  const auto count = static_cast<std::uint64_t>(value.count());
  for (const Unit& unit : {kDurationUnits[3], kDurationUnits[2], kDurationUnits[1]}) {
    if (count != 0 && count % unit.factor == 0) return fmt::format("{}{}", count / unit.factor, unit.name);
  }
  return count == 0 ? "0s" : fmt::format("{}ms", count);
}

std::string show_size(std::uint64_t bytes) {
  for (const Unit& unit : {kSizeUnits[4], kSizeUnits[3], kSizeUnits[2], kSizeUnits[1]}) {
    if (bytes != 0 && bytes % unit.factor == 0) return fmt::format("{}{}", bytes / unit.factor, unit.name);
  }
  return fmt::format("{}B", bytes);
}

}  // namespace gatehouse::config
