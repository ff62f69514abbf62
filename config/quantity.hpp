// Numbers with units as configuration writes them: durations 250ms 10s 1m 1h, sizes 512B 16KiB 1MiB, rates 100/s 60/m
// 1000/h. Pure. Called by the readers of configuration; the words of an error are meant for its author.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace gatehouse::config {

using Milliseconds = std::chrono::milliseconds;

struct Rate {
  std::uint64_t count = 0;
  Milliseconds period{1'000};
  bool operator==(const Rate&) const = default;
};

/// Either the value, or what is wrong and what would be right ("'10' has no unit: write 10ms, 10s, 10m or 10h").
template <class T>
using Parsed = std::expected<T, std::string>;

/// Decimal digits alone. No signs, no leading zeros (YAML reads 010 as eight), no other bases, no separators.
[[nodiscard]] Parsed<std::uint64_t> parse_integer(std::string_view text);
[[nodiscard]] Parsed<Milliseconds> parse_duration(std::string_view text);
[[nodiscard]] Parsed<std::uint64_t> parse_size(std::string_view text);             // bytes
[[nodiscard]] Parsed<std::uint64_t> parse_size_per_second(std::string_view text);  // "240B/s"
[[nodiscard]] Parsed<Rate> parse_rate(std::string_view text);

/// The shortest form that reads back as the same value.
[[nodiscard]] std::string show_duration(Milliseconds value);
[[nodiscard]] std::string show_size(std::uint64_t bytes);

}  // namespace gatehouse::config
