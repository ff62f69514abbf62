// Fields of an answer on their way into HTTP/2: names in lower case, values referred to where they are. Filled by
// proxy/h2_stream.cpp, submitted by h2_session.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gatehouse::http {

/// Names in any case are taken; connection-specific ones are left out by whoever adds.
class H2Fields {
 public:
  struct Field {
    std::string_view name, value;
  };

  void clear() noexcept {
    names_.clear();
    entries_.clear();
  }
  /// `value` must live until the fields are submitted.
  void add(std::string_view name, std::string_view value);
  /// Lines "name: value CRLF", which must live as long.
  void add_lines(std::string_view lines);
  /// A value that is kept here.
  void add_kept(std::string_view name, std::string_view value);
  void add_number(std::string_view name, std::uint64_t number);

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  /// Good until more is added.
  [[nodiscard]] Field at(std::size_t index) const noexcept;

 private:
  struct Entry {
    std::size_t name_at, name_size;
    std::string_view value;
    std::size_t kept_size = 0;  // of a value that is behind the name
  };
  std::string names_;  // in lower case, with the values that are kept
  std::vector<Entry> entries_;
};

}  // namespace gatehouse::http
