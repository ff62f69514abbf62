// Which charsets a body may have for rules to see in it what the upstream will. Used by waf/xml_bounds.cpp and
// waf/transaction.cpp.
#pragma once

#include <string_view>

namespace gatehouse::waf {

/// True of charsets in which what is ASCII is these bytes and no others. Those in which they may be a part of something
/// else (UTF-7, ISO-2022-JP, Shift_JIS) are not on the list: UTF-8, US-ASCII, ISO-8859-x and Windows-125x.
[[nodiscard]] bool is_like_ascii(std::string_view charset) noexcept;

/// False if the Content-Type has a parameter charset that is not like ASCII, in any way of writing it, or several.
[[nodiscard]] bool has_known_charset(std::string_view content_type) noexcept;

}  // namespace gatehouse::waf
