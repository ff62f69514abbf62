// Secrets that are known by their looks, whatever their name: tokens, card numbers, bank accounts, credentials in
// URLs. Used by waf/mask.cpp.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

namespace gatehouse::waf {

/// Calls `report(begin, end)` for each; they may overlap.
void find_by_looks(std::string_view text, const std::function<void(std::size_t, std::size_t)>& report);

/// Those in URLs alone.
void find_url_credentials(std::string_view text, const std::function<void(std::size_t, std::size_t)>& report);

/// Luhn's check over 13 to 19 digits (ISO/IEC 7812).
[[nodiscard]] bool is_card_number(std::string_view digits) noexcept;

/// ISO 13616: country, check digits, account; no blanks.
[[nodiscard]] bool is_iban(std::string_view text) noexcept;

}  // namespace gatehouse::waf
