#include "waf/rule_text.hpp"

#include <algorithm>
#include <array>

namespace gatehouse::waf {

AddedTargets added_targets(const seclang::Text& text) {
  if (!text.errors.empty()) return {.tx = true, .request_body = true, .by_name = true};
  static const std::vector<std::uint32_t> no_lines{0};  // nobody asks for places
  AddedTargets out;
  for (const seclang::Directive& directive : text.directives) {
    constexpr std::string_view start = "secruleupdatetargetby";
    const std::string name = seclang::lower_case(directive.name);
    if (!name.starts_with(start)) continue;
    bool adds = false;
    for (std::size_t i = 1; i < directive.words.size(); ++i) {
      std::vector<seclang::Error> errors;
      for (const seclang::Variable& variable : seclang::parse_variables(directive.words[i], "|,", no_lines, errors)) {
        if (variable.exclude) continue;
        adds = true;
        out.tx = out.tx || variable.name == "TX";
        out.request_body = out.request_body || is_of_request_body(variable.name);
      }
      if (!errors.empty()) out.tx = out.request_body = adds = true;
    }
    out.by_name = out.by_name || (adds && name.substr(start.size()) != "id");
  }
  return out;
}

bool is_of_request_body(std::string_view variable) noexcept {
  constexpr std::array<std::string_view, 7> names{"ARGS",         "FILES",   "FULL_REQUEST", "MULTIPART",
                                                  "REQUEST_BODY", "REQBODY", "XML"};
  return std::ranges::any_of(names, [&](std::string_view name) { return variable.starts_with(name); });
}

}  // namespace gatehouse::waf
