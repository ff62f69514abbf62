#include "waf/variable_slots.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace gatehouse::waf {

bool VariableSlots::collection_of(const std::string& name, Collection& collection) noexcept {
  static constexpr std::array<std::pair<std::string_view, Collection>, 21> known{{
      {"ARGS", Collection::args},
      {"ARGS_NAMES", Collection::args},
      {"ARGS_GET", Collection::args_get},
      {"ARGS_GET_NAMES", Collection::args_get},
      {"ARGS_POST", Collection::args_post},
      {"ARGS_POST_NAMES", Collection::args_post},
      {"REQUEST_COOKIES", Collection::cookies},
      {"REQUEST_COOKIES_NAMES", Collection::cookies},
      {"REQUEST_HEADERS", Collection::request_headers},
      {"REQUEST_HEADERS_NAMES", Collection::request_headers},
      {"RESPONSE_HEADERS", Collection::response_headers},
      {"RESPONSE_HEADERS_NAMES", Collection::response_headers},
      {"FILES", Collection::files},
      {"FILES_NAMES", Collection::files_names},
      {"FILES_SIZES", Collection::files_sizes},
      {"FILES_TMP_CONTENT", Collection::files_tmp_content},
      {"FILES_TMPNAMES", Collection::files_tmp_names},
      {"MULTIPART_FILENAME", Collection::multipart_filename},
      {"MULTIPART_NAME", Collection::multipart_name},
      {"MULTIPART_PART_HEADERS", Collection::multipart_part_headers},
      {"XML", Collection::xml},
  }};
  const auto found = std::find_if(known.begin(), known.end(), [&](const auto& entry) { return entry.first == name; });
  if (found == known.end()) return false;
  collection = found->second;
  return true;
}

namespace {

using Variables = modsecurity::TransactionAnchoredVariables;

struct Flag {
  std::string_view name;
  modsecurity::AnchoredVariable Variables::* variable;
};

// Scalars that are "0" or empty unless something is wrong, and are set before the phase begins.
constexpr std::array flags{
    Flag{"REQBODY_ERROR", &Variables::m_variableReqbodyError},
    Flag{"REQBODY_PROCESSOR_ERROR", &Variables::m_variableReqbodyProcessorError},
    Flag{"INBOUND_DATA_ERROR", &Variables::m_variableInboundDataError},
    Flag{"URLENCODED_ERROR", &Variables::m_variableUrlEncodedError},
    Flag{"MULTIPART_STRICT_ERROR", &Variables::m_variableMultipartStrictError},
    Flag{"MULTIPART_UNMATCHED_BOUNDARY", &Variables::m_variableMultipartUnmatchedBoundary},
};

// True if nothing and zero do not match, whatever else does.
bool refuses_zero(const RuleLink& link) {
  for (const seclang::Action& action : link.actions) {
    if (action.name == "t" && !seclang::equals_ignoring_case(action.value, "none")) return false;
  }
  const std::string& argument = link.op.argument;
  if (argument.empty() || argument.size() > 9 ||
      !std::all_of(argument.begin(), argument.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return false;
  const bool zero = argument.find_first_not_of('0') == std::string::npos;
  const auto is = [&](std::string_view name) { return seclang::equals_ignoring_case(link.op.name, name); };
  if (link.op.negated) return is("eq") && zero;
  return is("gt") || (!zero && (is("eq") || is("ge")));
}

}  // namespace

SlotMask VariableSlots::needs(const RuleLink& link) {
  SlotMask mask = 0;
  for (const seclang::Variable& variable : link.variables) {
    if (variable.exclude) continue;  // takes away, adds nothing
    Collection collection{};
    Slot wanted{};
    if (collection_of(variable.name, collection)) {
      if (variable.count && !refuses_zero(link)) return always_present;
      wanted.collection = collection;
    } else {
      const auto flag =
          std::find_if(flags.begin(), flags.end(), [&](const Flag& known) { return known.name == variable.name; });
      if (flag == flags.end() || variable.has_selector || variable.count || !refuses_zero(link)) return always_present;
      collection = wanted.collection = Collection::flag;
      wanted.key = std::to_string(flag - flags.begin());
    }
    // Only headers are asked for by name often enough to be told apart.
    const bool headers = collection == Collection::request_headers || collection == Collection::response_headers;
    if (headers && variable.has_selector && !variable.regex) wanted.key = seclang::lower_case(variable.selector);
    auto found = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) {
      return slot.collection == wanted.collection && slot.key == wanted.key;
    });
    if (found == slots_.end()) {
      if (slots_.size() == 63) return always_present;
      found = slots_.insert(slots_.end(), std::move(wanted));
    }
    mask |= SlotMask{1} << (found - slots_.begin());
  }
  return mask == 0 ? always_present : mask;
}

SlotMask VariableSlots::present(modsecurity::Transaction& t, SlotMask used) const {
  SlotMask mask = always_present;
  const auto has = [](const modsecurity::AnchoredSetVariable& variable, const std::string& key) {
    return key.empty() ? !variable.empty() : variable.find(key) != variable.end();  // keys compare without case
  };
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if ((used >> i & 1) == 0) continue;
    const Slot& slot = slots_[i];
    bool there = false;
    switch (slot.collection) {
      case Collection::args: there = has(t.m_variableArgs, slot.key); break;
      case Collection::args_get: there = has(t.m_variableArgsGet, slot.key); break;
      case Collection::args_post: there = has(t.m_variableArgsPost, slot.key); break;
      case Collection::cookies:
        there = has(t.m_variableRequestCookies, slot.key) || has(t.m_variableRequestCookiesNames, slot.key);
        break;
      case Collection::request_headers: there = has(t.m_variableRequestHeaders, slot.key); break;
      case Collection::response_headers: there = has(t.m_variableResponseHeaders, slot.key); break;
      case Collection::files: there = has(t.m_variableFiles, slot.key); break;
      case Collection::files_names: there = has(t.m_variableFilesNames, slot.key); break;
      case Collection::files_sizes: there = has(t.m_variableFilesSizes, slot.key); break;
      case Collection::files_tmp_content: there = has(t.m_variableFilesTmpContent, slot.key); break;
      case Collection::files_tmp_names: there = has(t.m_variableFilesTmpNames, slot.key); break;
      case Collection::multipart_filename: there = has(t.m_variableMultipartFileName, slot.key); break;
      case Collection::multipart_name: there = has(t.m_variableMultipartName, slot.key); break;
      case Collection::multipart_part_headers: there = has(t.m_variableMultipartPartHeaders, slot.key); break;
      case Collection::flag: {
        const std::string& value = (t.*(flags[static_cast<std::size_t>(std::stoi(slot.key))].variable)).m_value;
        there = !value.empty() && value != "0";
        break;
      }
      case Collection::xml: there = t.m_requestBodyProcessor == modsecurity::Transaction::XMLRequestBody; break;
    }
    if (there) mask |= SlotMask{1} << i;
  }
  return mask;
}

}  // namespace gatehouse::waf
