// The scan of XML bodies; see body_bounds.hpp. It reads a document as libxml2 does up to the first error, at which
// libxml2 stops; what is counted after it does no harm, since the body is refused either way.
#include <algorithm>
#include <array>
#include <cstdint>

#include "waf/body_bounds.hpp"
#include "waf/charsets.hpp"

namespace gatehouse::waf {
namespace {

constexpr std::string_view blanks = " \t\r\n";
bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_quote(char c) noexcept { return c == '"' || c == '\''; }

// "<?xml version='1.0' encoding='utf-8' standalone='yes'?>": each of the values has to be one that we know, so that it
// is no matter which of them is the encoding.
bool has_known_declaration(std::string_view xml) noexcept {
  const std::string_view declaration = xml.substr(0, xml.find("?>"));
  for (std::size_t at = 0; at < declaration.size(); ++at) {
    if (!is_quote(declaration[at])) continue;
    const std::size_t end = declaration.find(declaration[at], at + 1);
    if (end == std::string_view::npos) return false;
    const std::string_view value = declaration.substr(at + 1, end - at - 1);
    if (value != "1.0" && value != "1.1" && value != "yes" && value != "no" && !is_like_ascii(value)) return false;
    at = end;
  }
  return true;
}

// UTF-16, UTF-32 and EBCDIC begin otherwise, and it is these bytes by which libxml2 tells them (XML 1.0, appendix F).
bool begins_as_ascii(std::string_view xml) noexcept {
  return std::ranges::all_of(xml.substr(0, 4), [](char c) { return is_blank(c) || (c >= ' ' && c <= '~'); });
}

class XmlScan {
 public:
  explicit XmlScan(std::string_view xml) noexcept : xml_(xml) {}

  [[nodiscard]] bool within_bounds() noexcept {
    while ((at_ = xml_.find('<', at_)) != std::string_view::npos) {
      if (!markup() || nodes_ > max_xml_nodes) return false;
    }
    return true;
  }

 private:
  [[nodiscard]] bool follows(std::string_view text) const noexcept { return xml_.substr(at_).starts_with(text); }

  void skip_past(std::string_view end, std::size_t from) noexcept {
    const std::size_t found = xml_.find(end, from);
    at_ = found == std::string_view::npos ? xml_.size() : found + end.size();
  }

  [[nodiscard]] bool markup() noexcept {
    if (follows("</")) {
      depth_ -= depth_ > 0 ? 1 : 0;
      skip_past(">", at_);
      return true;
    }
    if (!follows("<!") && !follows("<?")) return element();
    if (follows("<!--")) {
      skip_past("--", at_ + 4);
      // Not well formed (XML 1.0, section 2.5), but libxml2 goes on, and copies the comment up to here for each of them.
      if (at_ < xml_.size() && xml_[at_] != '>') return false;
    } else if (follows("<![CDATA[")) {
      skip_past("]]>", at_ + 9);
    } else if (follows("<?")) {
      skip_past("?>", at_ + 2);
    } else {
      return document_type();
    }
    ++nodes_;
    return true;
  }

  // "<!DOCTYPE name>" alone. One that is elsewhere (SYSTEM, PUBLIC) would be read by some upstreams, with the texts of its
  // entities and the attributes that it adds.
  [[nodiscard]] bool document_type() noexcept {
    if (has_type_) return false;
    has_type_ = true;
    for (; at_ < xml_.size() && xml_[at_] != '>'; ++at_)
      if (xml_[at_] == '[' || is_quote(xml_[at_])) return false;
    return true;
  }

  [[nodiscard]] bool element() noexcept {
    std::size_t attributes = 0;
    std::uint32_t namespaces = depth_ > 0 ? namespaces_[depth_ - 1] : 0;
    ++nodes_;
    ++at_;
    std::size_t name = xml_.find_first_of(" \t\r\n/>", at_);  // of the next attribute, or the blanks before it
    while (at_ < xml_.size() && xml_[at_] != '>') {
      if (!is_quote(xml_[at_])) {
        ++at_;
        continue;
      }
      ++nodes_;
      if (++attributes > max_xml_attributes) return false;
      if (is_namespace(name) && ++namespaces > max_xml_namespaces) return false;
      skip_past(xml_.substr(at_, 1), at_ + 1);
      name = at_;
    }
    if (at_ >= xml_.size()) return true;
    if (xml_[at_++ - 1] == '/') return true;
    if (depth_ == max_xml_depth) return false;
    namespaces_[depth_++] = namespaces;
    return true;
  }

  [[nodiscard]] bool is_namespace(std::size_t name) const noexcept {
    if (name >= at_) return true;  // there is no name: not well formed
    name = xml_.find_first_not_of(blanks, name);
    return name != std::string_view::npos && xml_.substr(name).starts_with("xmlns");
  }

  std::string_view xml_;
  std::size_t at_ = 0;
  std::size_t nodes_ = 0;
  std::size_t depth_ = 0;
  bool has_type_ = false;
  std::array<std::uint32_t, max_xml_depth> namespaces_{};  // declared up to an open element
};

}  // namespace

bool xml_is_within_bounds(std::string_view xml) noexcept {
  if (xml.starts_with("\xEF\xBB\xBF")) xml.remove_prefix(3);
  const bool is_ascii = begins_as_ascii(xml);
  xml.remove_prefix(std::min(xml.find_first_not_of(blanks), xml.size()));
  if (xml.empty()) return true;
  if (xml.front() != '<') return is_ascii;  // no document: libxml2 stops here, which is rule 200002's
  if (xml.contains('\0')) return false;
  if (xml.starts_with("<?xml") && xml.size() > 5 && is_blank(xml[5]) && !has_known_declaration(xml)) return false;
  return XmlScan(xml).within_bounds();
}

}  // namespace gatehouse::waf
