// Tells whether an XML body may hold a secret. A rule sees the texts of XML:/* and XML://@* without the names of the
// elements and attributes that they stand in, so that a match alone does not tell. Used by waf/request_secrets.cpp.
#pragma once

#include <string_view>

#include "waf/mask.hpp"

namespace gatehouse::waf {

/// True if an element or attribute has a secret's name, whatever its prefix, or if a whole text or value is such a name
/// (<field name="password">, <key>password</key>). In doubt true: document type declarations, whose entities may be
/// anything; encodings in which ASCII is not what it seems; very many names. Takes time in proportion to `xml`.
[[nodiscard]] bool may_name_secret(std::string_view xml, const Masker& masker);

}  // namespace gatehouse::waf
