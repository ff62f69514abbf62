// What rules see of an XML body: the text of it all (XML:/*) and the values of its attributes (XML://@*), by the parser
// that libmodsecurity uses, libxml2.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gatehouse::waf::screen {

struct XmlTexts {
  std::string text;
  std::vector<std::string> attributes;
};

/// Of documents within the bounds of waf/body_bounds.hpp. Empty if it is not well formed.
[[nodiscard]] std::optional<XmlTexts> read_xml(std::string_view document);

}  // namespace gatehouse::waf::screen
