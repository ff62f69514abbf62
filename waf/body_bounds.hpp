// What a body may cost libmodsecurity's parsers at most, found out before they run: in them the transaction's time is
// not bounded. And what upstreams would read differently. Both scans are linear. Called by waf/transaction.cpp.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace gatehouse::waf {

// libxml2 compares each attribute of an element with each other one; SOAP and XBRL have a few dozen.
inline constexpr std::size_t max_xml_attributes = 256;
inline constexpr std::size_t max_xml_depth = 128;      // libxml2's own limit is 256
inline constexpr std::size_t max_xml_namespaces = 128; // declared around one element; searched for every attribute
// Elements, attributes, comments, instructions, CDATA: each takes up to 350 bytes in the tree, with the text after it.
inline constexpr std::size_t max_xml_nodes = 50'000;

// What libxml2's tree takes: 52 times "<b/>x", less of anything else, and with the bound above no more than this, apart
// from the text itself.
inline constexpr std::size_t xml_tree_factor = 52;
inline constexpr std::size_t max_xml_tree_bytes = 17UL * 1024 * 1024;

/// False if the parser's time or the tree could be larger than these bounds, or if that cannot be told: an encoding in
/// which markup is not ASCII, and a document type with declarations, here or elsewhere (SYSTEM, PUBLIC), which adds
/// elements, attributes and texts. And if
/// a comment has "--" in it, each of which costs libxml2 time in proportion to the comment.
/// What libxml2 counts up to a document's first error is counted here too, whatever is in quotes, comments or CDATA.
[[nodiscard]] bool xml_is_within_bounds(std::string_view xml) noexcept;

// Folded lines are copied with all before them, and each header is an argument of rules.
inline constexpr std::size_t max_part_header_lines = 32;
inline constexpr std::size_t max_parts = 1'000;  // as many as arguments
inline constexpr std::size_t max_all_header_lines = 4'000;  // in all parts together; ordinary ones have two or three

/// False if a part may have more header lines, or one of the fields that say what it is twice, or the body more parts. Lines that follow a head which libmodsecurity
/// might not take for complete are counted as if they were in it.
[[nodiscard]] bool multipart_is_within_bounds(std::string_view body, std::string_view content_type) noexcept;

/// Calls `report` with the name of each form field in whose data there are line ends, with the data as it is and as
/// libmodsecurity has it: it loses line ends, so that "1\r\nor\r\n1=1" is "1or1=1" to its rules. Of bodies within
/// bounds; takes time in proportion to `body`. False if there is a part of which it is not certain what it is.
using FieldReport = std::function<void(const std::string& name, const std::string& as_read, const std::string& value)>;
[[nodiscard]] bool fields_of_several_lines(std::string_view body, std::string_view content_type,
                                           const FieldReport& report);

}  // namespace gatehouse::waf
