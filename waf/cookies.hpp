// What servers read of a Cookie header and libmodsecurity does not: it splits at every ";" and passes over cookies
// without a name. Used by waf/transaction.cpp.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace gatehouse::waf {

/// Calls `report` with name and value of each cookie that the library has not seen as servers read it:
/// - nameless ones, "=value", with an empty name (browsers keep such, and some servers give them to the application);
/// - quoted values in which a ";" or a backslash stands: Python's http.cookies, Java's and others of RFC 2109 take
///   name="a; b" for one cookie, and "\"", "\073" for the characters that they stand for. RFC 6265 knows neither.
/// Takes time in proportion to `header`.
void unseen_cookies(std::string_view header, const std::function<void(const std::string&, const std::string&)>& report);

}  // namespace gatehouse::waf
