// Civil time; see timestamp.hpp.
#include "acme/timestamp.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace gatehouse::acme {

namespace {

constexpr Seconds longest_wait = std::chrono::hours(24);

// Takes exactly `digits` digits from the front of `text`.
std::optional<int> take_number(std::string_view& text, std::size_t digits) noexcept {
  if (text.size() < digits) return std::nullopt;
  int number = 0;
  for (const char digit : text.substr(0, digits)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = number * 10 + (digit - '0');
  }
  text.remove_prefix(digits);
  return number;
}

bool take(std::string_view& text, std::string_view expected) noexcept {
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(expected.size());
  return true;
}

std::optional<Time> midnight(int year, int month, int day) noexcept {
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok() || year < 1970) return std::nullopt;
  return std::chrono::sys_days(date);
}

std::optional<Seconds> time_of_day(std::string_view& text, bool with_seconds) noexcept {
  const auto hour = take_number(text, 2);
  if (!hour || !take(text, ":")) return std::nullopt;
  const auto minute = take_number(text, 2);
  if (!minute || *hour > 23 || *minute > 59) return std::nullopt;
  Seconds time = std::chrono::hours(*hour) + std::chrono::minutes(*minute);
  if (!with_seconds) return time;
  if (!take(text, ":")) return std::nullopt;
  const auto second = take_number(text, 2);
  if (!second || *second > 60) return std::nullopt;
  return time + Seconds(*second);
}

}  // namespace

std::optional<Time> from_rfc3339(std::string_view text) noexcept {
  const auto year = take_number(text, 4);
  if (!year || !take(text, "-")) return std::nullopt;
  const auto month = take_number(text, 2);
  if (!month || !take(text, "-")) return std::nullopt;
  const auto day = take_number(text, 2);
  if (!day || !(take(text, "T") || take(text, "t") || take(text, " "))) return std::nullopt;
  const auto date = midnight(*year, *month, *day);
  const auto time = time_of_day(text, true);
  if (!date || !time) return std::nullopt;
  if (take(text, ".")) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0) return std::nullopt;
    text.remove_prefix(digits);
  }
  if (text == "Z" || text == "z") return *date + *time;
  const bool ahead = take(text, "+");
  if (!ahead && !take(text, "-")) return std::nullopt;
  const auto offset = time_of_day(text, false);
  if (!offset || !text.empty()) return std::nullopt;
  return *date + *time - (ahead ? *offset : -*offset);
}

std::optional<Time> from_retry_after(std::string_view text, Time now) noexcept {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  if (text.empty()) return std::nullopt;
  if (text.find_first_not_of("0123456789") == std::string_view::npos) {
    long long seconds = longest_wait.count();
    std::from_chars(text.data(), text.data() + text.size(), seconds);  // too large to be read: the longest
    return now + std::min(Seconds(seconds), longest_wait);
  }
  // Sun, 06 Nov 1994 08:49:37 GMT
  static constexpr std::array<std::string_view, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  if (text.size() != 29 || text.substr(3, 2) != ", ") return std::nullopt;
  text.remove_prefix(5);
  const auto day = take_number(text, 2);
  if (!day || !take(text, " ")) return std::nullopt;
  const auto month = std::ranges::find(months, text.substr(0, 3));
  text.remove_prefix(3);
  if (month == months.end() || !take(text, " ")) return std::nullopt;
  const auto year = take_number(text, 4);
  if (!year || !take(text, " ")) return std::nullopt;
  const auto date = midnight(*year, static_cast<int>(month - months.begin()) + 1, *day);
  const auto time = time_of_day(text, true);
  if (!date || !time || text != " GMT") return std::nullopt;
  return std::clamp(*date + *time, now, now + longest_wait);
}

}  // namespace gatehouse::acme
