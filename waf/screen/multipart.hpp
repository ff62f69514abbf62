// The parts of a multipart body as browsers and ordinary clients write them (RFC 7578). What is unusual in any way, above
// all what libmodsecurity or waf/multipart_bounds.cpp would object to, is not read here: such a request is the library's.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace gatehouse::waf::screen {

struct BodyPart {
  std::string_view name;
  std::optional<std::string_view> file_name;
  std::string_view data;
  std::vector<std::string_view> head_lines;  // with their line ends, as the library has them

  /// A part with an empty name of a file is a form's field to the library.
  [[nodiscard]] bool is_file() const noexcept { return file_name && !file_name->empty(); }
};

/// Empty if they are not certain.
[[nodiscard]] std::optional<std::vector<BodyPart>> read_parts(std::string_view content_type, std::string_view body);

}  // namespace gatehouse::waf::screen
