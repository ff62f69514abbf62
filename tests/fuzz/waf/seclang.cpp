// Fuzzes the check of tenants' SecLang: whatever it accepts, it writes in a form that it accepts again unchanged and
// that libmodsecurity loads; whatever it refuses has a place within the text.
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "waf/library.hpp"
#include "waf/modsecurity.hpp"
#include "waf/seclang_check.hpp"

namespace {

using namespace gatehouse::waf;

void require(bool condition) {
  if (!condition) std::abort();
}

seclang::CheckedRules checked(std::string_view text, bool trusted) {
  std::set<std::uint32_t> ids;
  return seclang::check(text, trusted, ids);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const bool trusted = (data[0] & 1) != 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const seclang::CheckedRules first = checked(text, trusted);
  for (const seclang::Error& error : first.errors) {
    require(error.at.line >= 1 && error.at.column >= 1 && !error.message.empty());
    for (const char c : error.message) require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
  }
  if (!first.errors.empty()) return 0;

  modsecurity::RulesSet set;
  {
    const std::lock_guard lock(parse_mutex());
    require(first.text.empty() || set.load(first.text.c_str()) >= 0);
  }
  // Only rules of the tenant's own ids, and nothing else, came out of it.
  for (int phase = 0; phase < modsecurity::NUMBER_OF_PHASES; ++phase) {
    for (const auto& rule : set.m_rulesSetPhases[phase]->m_rules) {
      const auto* const actions = dynamic_cast<const modsecurity::RuleWithActions*>(rule.get());
      if (actions == nullptr) continue;
      require(actions->m_ruleId >= seclang::first_tenant_id && actions->m_ruleId <= seclang::last_tenant_id);
    }
  }
  require(set.m_secRuleEngine == modsecurity::RulesSetProperties::PropertyNotSetRuleEngine);
  for (const auto& defaults : set.m_defaultActions) require(defaults.empty());

  // Markers get a prefix each time; apart from them the form is final.
  if (first.text.find("tenant-marker-") != std::string::npos) return 0;
  const seclang::CheckedRules second = checked(first.text, trusted);
  require(second.errors.empty() && second.text == first.text);
  return 0;
}
