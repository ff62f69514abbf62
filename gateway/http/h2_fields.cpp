// Fields of an HTTP/2 answer; see h2_fields.hpp.
#include "gateway/http/h2_fields.hpp"

#include <algorithm>
#include <charconv>

#include "gateway/http/characters.hpp"

namespace gatehouse::http {

void H2Fields::add(std::string_view name, std::string_view value) {
  const std::size_t at = names_.size();
  names_.resize(at + name.size());
  std::ranges::transform(name, names_.begin() + static_cast<std::ptrdiff_t>(at), detail::lower);
  entries_.push_back({at, name.size(), value});
}

void H2Fields::add_lines(std::string_view lines) {
  while (!lines.empty()) {
    const std::size_t end = lines.find("\r\n");
    const std::string_view line = lines.substr(0, end);
    lines = end == std::string_view::npos ? std::string_view() : lines.substr(end + 2);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && detail::is(value.front(), detail::blank)) value.remove_prefix(1);
    while (!value.empty() && detail::is(value.back(), detail::blank)) value.remove_suffix(1);
    add(line.substr(0, colon), value);
  }
}

void H2Fields::add_kept(std::string_view name, std::string_view value) {
  add(name, {});
  entries_.back().kept_size = value.size();
  names_.append(value);
}

void H2Fields::add_number(std::string_view name, std::uint64_t number) {
  char text[20];
  const auto end = std::to_chars(text, text + sizeof text, number).ptr;
  add_kept(name, {text, end});
}

H2Fields::Field H2Fields::at(std::size_t index) const noexcept {
  const Entry& entry = entries_[index];
  const std::string_view names = names_;
  const std::size_t name_end = entry.name_at + entry.name_size;
  return {names.substr(entry.name_at, entry.name_size),
          entry.kept_size != 0 ? names.substr(name_end, entry.kept_size) : entry.value};
}

}  // namespace gatehouse::http
