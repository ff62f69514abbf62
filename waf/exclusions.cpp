#include "waf/exclusions.hpp"

#include <algorithm>
#include <array>
#include <utility>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <fmt/format.h>

#include "waf/seclang_words.hpp"

namespace gatehouse::waf {
namespace {

using seclang::equals_ignoring_case;

constexpr std::uint32_t name_match_limit = 10'000;  // a name is short; a pattern that needs more matches nothing

using Set = modsecurity::AnchoredSetVariable;

struct CollectionMember {
  std::string_view name;  // as it stands in a rule
  Set modsecurity::TransactionAnchoredVariables::* elements;
};

// Where the elements are. ARGS_NAMES and its like are views of the arguments.
using Variables = modsecurity::TransactionAnchoredVariables;
constexpr std::array members{
    CollectionMember{"ARGS", &Variables::m_variableArgs},
    CollectionMember{"ARGS_GET", &Variables::m_variableArgsGet},
    CollectionMember{"ARGS_POST", &Variables::m_variableArgsPost},
    CollectionMember{"ARGS_NAMES", &Variables::m_variableArgs},
    CollectionMember{"ARGS_GET_NAMES", &Variables::m_variableArgsGet},
    CollectionMember{"ARGS_POST_NAMES", &Variables::m_variableArgsPost},
    CollectionMember{"REQUEST_COOKIES", &Variables::m_variableRequestCookies},
    CollectionMember{"REQUEST_COOKIES_NAMES", &Variables::m_variableRequestCookiesNames},
    CollectionMember{"REQUEST_HEADERS", &Variables::m_variableRequestHeaders},
    CollectionMember{"REQUEST_HEADERS_NAMES", &Variables::m_variableRequestHeadersNames},
    CollectionMember{"RESPONSE_HEADERS", &Variables::m_variableResponseHeaders},
    CollectionMember{"RESPONSE_HEADERS_NAMES", &Variables::m_variableResponseHeadersNames},
    CollectionMember{"FILES", &Variables::m_variableFiles},
    CollectionMember{"FILES_NAMES", &Variables::m_variableFilesNames},
    CollectionMember{"FILES_SIZES", &Variables::m_variableFilesSizes},
    CollectionMember{"MULTIPART_FILENAME", &Variables::m_variableMultipartFileName},
    CollectionMember{"MULTIPART_NAME", &Variables::m_variableMultipartName},
    CollectionMember{"MULTIPART_PART_HEADERS", &Variables::m_variableMultipartPartHeaders},
};

// Who excludes the argument means it wherever it came from.
std::vector<std::string_view> meant(std::string_view collection) {
  if (collection == "ARGS") return {"ARGS", "ARGS_GET", "ARGS_POST"};
  if (collection == "ARGS_NAMES") return {"ARGS_NAMES", "ARGS_GET_NAMES", "ARGS_POST_NAMES"};
  return {collection};
}

bool is_argument(std::string_view collection) noexcept { return collection.starts_with("ARGS"); }

// JSON bodies become arguments "json.a.b"; who excludes "a.b" need not know.
std::string_view without_json(std::string_view name) noexcept {
  return name.size() > 5 && equals_ignoring_case(name.substr(0, 5), "json.") ? name.substr(5) : name;
}

bool selects(const ExclusionTarget& target, std::string_view name) {
  const std::string_view bare = is_argument(target.collection) ? without_json(name) : name;
  if (target.pattern)
    return target.pattern->matches(name) || (bare.size() != name.size() && target.pattern->matches(bare));
  return equals_ignoring_case(name, target.key) || equals_ignoring_case(bare, target.key);
}

void tell(std::uint32_t rule, std::string element, modsecurity::Transaction& transaction) {
  auto& list = transaction.m_ruleRemoveTargetById;
  std::pair<int, std::string> entry(static_cast<int>(rule), std::move(element));
  if (std::find(list.begin(), list.end(), entry) == list.end()) list.push_back(std::move(entry));
}

}  // namespace

std::optional<NamePattern> NamePattern::compile(std::string_view pattern) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* const code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                         PCRE2_DOTALL | PCRE2_CASELESS, &error, &offset, nullptr);
  if (code == nullptr) return std::nullopt;
  NamePattern out;
  out.code_ = std::shared_ptr<const void>(code, [code](const void*) { pcre2_code_free(code); });
  return out;
}

bool NamePattern::matches(std::string_view name) const noexcept {
  const auto* const code = static_cast<const pcre2_code*>(code_.get());
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data(
      pcre2_match_data_create_from_pattern(code, nullptr), pcre2_match_data_free);
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context(
      pcre2_match_context_create(nullptr), pcre2_match_context_free);
  if (!data || !context) return false;
  pcre2_set_match_limit(context.get(), name_match_limit);
  return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(), 0, 0, data.get(), context.get()) > 0;
}

std::optional<ExclusionTarget> parse_target(std::string_view text, std::string& error) {
  ExclusionTarget target;
  const std::size_t colon = text.find(':');
  target.collection = seclang::upper_case(text.substr(0, colon));
  const seclang::VariableKind kind = seclang::variable_kind(target.collection);
  if (kind == seclang::VariableKind::refused) {
    error = fmt::format(
        "\"{}\" is not a variable; targets are ARGS, REQUEST_COOKIES, REQUEST_HEADERS and the like, with the element's "
        "name "
        "after a colon: ARGS:comment",
        target.collection.substr(0, 40));
    for (char& c : error) c = static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
    return std::nullopt;
  }
  if (colon == std::string_view::npos) {
    if (kind == seclang::VariableKind::tx || kind == seclang::VariableKind::xml) {
      error = target.collection + " needs a name after a colon";
      return std::nullopt;
    }
    return target;
  }
  std::string_view key = text.substr(colon + 1);
  if (kind == seclang::VariableKind::scalar) {
    error = target.collection + " is one value and has no elements; leave out what follows the colon";
    return std::nullopt;
  }
  if (key.size() >= 2 && key.front() == '\'' && key.back() == '\'') key = key.substr(1, key.size() - 2);
  if (key.size() > 2 && key.front() == '/' && key.back() == '/' && kind == seclang::VariableKind::collection) {
    target.pattern = NamePattern::compile(key.substr(1, key.size() - 2));
    if (!target.pattern) {
      error = "the regular expression after the colon does not compile";
      return std::nullopt;
    }
    return target;
  }
  if (key.empty()) {
    error = "the name after the colon is missing";
    return std::nullopt;
  }
  target.key = key;
  if (is_argument(target.collection)) target.key = without_json(key);
  return target;
}

bool looks_at(const std::vector<seclang::Variable>& variables, const ExclusionTarget& target) {
  for (const seclang::Variable& variable : variables) {
    if (variable.exclude) continue;
    for (const std::string_view collection : meant(target.collection)) {
      if (variable.name != collection) continue;
      // A regular expression on either side may cover the other: not asked further.
      if (!variable.has_selector || variable.regex || target.pattern || target.key.empty()) return true;
      if (selects(target, variable.selector)) return true;
    }
  }
  return false;
}

bool path_within(std::string_view path, std::string_view prefix) noexcept {
  while (prefix.ends_with('/')) prefix.remove_suffix(1);
  if (!path.starts_with(prefix)) return false;
  return path.size() == prefix.size() || path[prefix.size()] == '/';
}

void Exclusions::add_target(std::uint32_t rule, ExclusionTarget target, std::string path) {
  entries_.push_back({rule, std::move(target), std::move(path)});
}

void Exclusions::add_rule(std::uint32_t rule, std::string path) { rules_.push_back({rule, std::move(path)}); }

bool Exclusions::may_remove(std::uint32_t rule) const noexcept {
  return std::any_of(rules_.begin(), rules_.end(), [&](const Removed& removed) { return removed.rule == rule; });
}

bool Exclusions::concern(std::uint32_t rule) const noexcept {
  return may_remove(rule) ||
         std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.rule == rule; });
}

Exclusions::Active Exclusions::activate(std::string_view path) const {
  Active active;
  const auto applies = [&](const std::string& prefix) {
    return prefix.empty() || (!path.empty() && path_within(path, prefix));
  };
  for (const Removed& removed : rules_) {
    if (applies(removed.path)) active.rules.push_back(removed.rule);
  }
  std::sort(active.rules.begin(), active.rules.end());
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (applies(entries_[i].path)) active.entries.push_back(static_cast<std::uint32_t>(i));
  }
  return active;
}

void Exclusions::apply(const Active& active, modsecurity::Transaction& transaction) const {
  for (const std::uint32_t index : active.entries) {
    const Entry& entry = entries_[index];
    const ExclusionTarget& target = entry.target;
    for (const std::string_view collection : meant(target.collection)) {
      const auto member =
          std::find_if(members.begin(), members.end(), [&](const auto& m) { return m.name == collection; });
      if (target.key.empty() && !target.pattern) {  // the variable as a whole, by the name that it has in the rule
        tell(entry.rule, std::string(collection), transaction);
      } else if (member == members.end()) {
        tell(entry.rule, fmt::format("{}:{}", collection, target.key), transaction);
      } else {
        const Set& elements = transaction.*(member->elements);
        const auto tell_name = [&](const auto& element) {
          tell(entry.rule, fmt::format("{}:{}", collection, element.first), transaction);
        };
        if (target.pattern) {
          for (const auto& element : elements) {
            if (selects(target, element.first)) tell_name(element);
          }
          continue;
        }
        const auto tell_all = [&](const std::string& name) {  // compares without case
          const auto [first, last] = elements.equal_range(name);
          std::for_each(first, last, tell_name);
        };
        tell_all(target.key);
        if (is_argument(collection)) tell_all("json." + target.key);
      }
    }
  }
}

}  // namespace gatehouse::waf
