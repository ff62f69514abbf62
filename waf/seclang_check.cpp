#include "waf/seclang_check.hpp"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "waf/seclang_values.hpp"
#include "waf/seclang_words.hpp"

namespace gatehouse::waf::seclang {
namespace {

constexpr std::uint32_t last_rule_id = 99'999'999;

bool is_disruptive(std::string_view name) noexcept { return name == "deny" || name == "pass" || name == "block"; }

// Actions without a value.
bool is_bare(std::string_view name) noexcept {
  return is_disruptive(name) || name == "log" || name == "nolog" || name == "chain" || name == "capture" ||
         name == "multimatch";
}

// Actions that libmodsecurity heeds, or we allow, on the first rule of a chain alone.
bool is_of_starter(std::string_view name) noexcept {
  return is_disruptive(name) || name == "id" || name == "phase" || name == "status" || name == "msg" || name == "tag" ||
         name == "severity" || name == "log" || name == "nolog" || name == "logdata" || name == "skipafter";
}

bool is_repeatable(std::string_view name) noexcept {
  return name == "t" || name == "setvar" || name == "tag" || name == "ctl";
}

// Of actions that exclude each other only one may stand in a rule.
std::string_view kind_of(std::string_view name) noexcept {
  return is_disruptive(name) ? "deny" : name == "nolog" ? "log" : name;
}

bool lengthens(std::string_view transformation) noexcept {
  return transformation == "base64Encode" || transformation == "hexEncode" || transformation == "urlEncode" ||
         transformation == "utf8toUnicode";
}

// 0 if it is none.
std::uint32_t phase_of(std::string_view value) {
  const std::string name = lower_case(value);
  if (name == "request") return 2;
  if (name == "response") return 4;
  if (name == "logging") return 5;
  const std::uint32_t number = whole_number(value).value_or(0);
  return number <= 5 ? number : 0;
}

// Apart from the markers of the platform's rules.
std::string marker_name(std::string_view name) { return fmt::format("tenant-marker-{}", name); }

/// Goes through the directives in order, collecting what is accepted and what is not.
class Checker {
 public:
  Checker(std::string_view text, bool trusted, std::set<std::uint32_t>& used_ids)
      : trusted_(trusted), used_ids_(used_ids), lines_(line_starts(text)) {}

  CheckedRules check(Text parsed) {
    result_.errors = std::move(parsed.errors);
    result_.errors.insert(result_.errors.end(), parsed.doubts.begin(), parsed.doubts.end());
    bool all = true;
    for (const Directive& directive : parsed.directives) {
      all = result_.errors.size() < max_errors;
      if (!all) break;
      check(directive);
    }
    if (all) {
      if (chain_start_ != nullptr) refuse(chain_start_->at, "the rule says chain, but no SecRule follows");
      for (const auto& [name, at] : jumps_)
        refuse(at, fmt::format("there is no SecMarker {} after this rule in the same text", name));
    }
    std::sort(result_.errors.begin(), result_.errors.end(), [](const Error& a, const Error& b) {
      return std::tie(a.at.line, a.at.column, a.message) < std::tie(b.at.line, b.at.column, b.message);
    });
    if (result_.errors.size() > max_errors) {
      result_.errors.resize(max_errors);
      all = false;
    }
    if (!all) result_.errors.push_back({result_.errors.back().at, "and more errors, which are not shown"});
    return std::move(result_);
  }

 private:
  void refuse(Position at, std::string message) { result_.errors.push_back({at, std::move(message)}); }

  void check(const Directive& d) {
    const bool rule = equals_ignoring_case(d.name, "SecRule");
    if (chain_start_ != nullptr && !rule) {
      refuse(d.at, "a SecRule is expected here, since the rule before it says chain");
      chain_start_ = nullptr;
    } else if (rule || equals_ignoring_case(d.name, "SecAction")) {
      rule_or_action(d, rule);
    } else if (equals_ignoring_case(d.name, "SecMarker")) {
      marker(d);
    } else if (equals_ignoring_case(d.name, "SecRuleRemoveById")) {
      removal(d);
    } else if (equals_ignoring_case(d.name, "SecRuleUpdateTargetById")) {
      target_update(d);
    } else {
      refuse(
          d.at,
          fmt::format("the directive {} is not allowed in a tenant's rules; allowed are SecRule, SecAction, SecMarker, "
                      "SecRuleRemoveById and SecRuleUpdateTargetById",
                      shown(d.name)));
    }
  }

  void rule_or_action(const Directive& d, bool rule) {
    if (++rules_ == max_rules + 1) refuse(d.at, fmt::format("there are more than {} rules", max_rules));
    if (rules_ > max_rules) return;
    const bool starts = chain_start_ == nullptr;
    std::string written = "SecAction";
    if (rule) {
      if (d.variables.size() > max_variables)
        refuse(d.variables[max_variables].at, fmt::format("the rule has more than {} variables", max_variables));
      bound_xml(d.variables, 0, "the rule looks at");
      const auto variables = values_.variables(d.variables);
      const auto op = values_.operator_text(d.op);
      if (variables && op) written = fmt::format("SecRule {} \"{}\"", *variables, *op);
    }
    bool chain = false;
    const std::string list = actions(d, starts, chain);
    if (!list.empty()) written += fmt::format(" \"{}\"", list);
    if (chain && !rule) {
      refuse(d.at, "SecAction cannot begin a chain");
      chain = false;
    }
    if (starts) chain_text_.clear();
    (chain_text_ += written) += '\n';
    chain_start_ = chain ? &d : nullptr;
    if (!chain) result_.text += chain_text_;  // a chain is written once it is complete
  }

  // Returns how many there are, with those before.
  std::size_t bound_xml(const std::vector<Variable>& variables, std::size_t before, std::string_view what) {
    for (const Variable& v : variables) {
      if (v.name != "XML" || v.exclude || ++before != max_xml_variables + 1) continue;
      refuse(v.at, fmt::format("{} XML more than {} times", what, max_xml_variables));
    }
    return before;
  }

  // The canonical list. What is refused has been reported; the text is then never used.
  std::string actions(const Directive& d, bool starts, bool& chain) {
    std::optional<std::uint32_t> id;
    std::uint32_t phase = 2;
    bool id_given = false;
    std::size_t transformations = 0;
    std::size_t encodings = 0;
    std::string out;
    std::set<std::string_view> seen;
    const auto add = [&](std::string_view text) { (out += out.empty() ? "" : ",") += text; };
    const auto add_checked = [&](const std::optional<std::string>& text) {
      if (text) add(*text);
    };
    for (const Action& action : d.actions) {
      const std::string& name = action.name;
      if (!is_repeatable(name) && !seen.insert(kind_of(name)).second) {
        refuse(action.at, fmt::format("{} is given twice or contradicts an earlier action", shown(name)));
      } else if (!starts && is_of_starter(name)) {
        refuse(action.at, fmt::format("{} belongs to the first rule of the chain", name));
      } else if (is_bare(name)) {
        if (action.has_value) refuse(action.at, fmt::format("{} takes no value", name));
        chain = chain || name == "chain";
        add(name == "multimatch" ? "multiMatch" : name);
      } else if (name == "id") {
        id_given = true;
        id = claim_id(action);
      } else if (name == "phase") {
        phase = phase_of(action.value);
        if (phase == 0) refuse(action.at, "phase must be 1 to 5, request, response or logging");
      } else if (name == "status") {
        const std::uint32_t status = whole_number(action.value).value_or(0);
        if (status < 400 || status > 599) refuse(action.at, "status must be 400 to 599");
        add(fmt::format("status:{}", status));
      } else if (name == "severity") {
        const std::string_view severity = severity_name(action.value);
        if (severity.empty())
          refuse(action.at,
                 "severity must be EMERGENCY, ALERT, CRITICAL, ERROR, WARNING, NOTICE, INFO, DEBUG or 0 to 7");
        add(fmt::format("severity:'{}'", severity));
      } else if (name == "msg" || name == "logdata" || name == "tag") {
        if (const auto text = values_.label(action, name != "tag")) add(fmt::format("{}:'{}'", name, *text));
      } else if (name == "t") {
        const std::string_view known = transformation(action.value);
        if (known.empty()) refuse(action.at, fmt::format("there is no transformation t:{}", shown(action.value)));
        if (++transformations == max_transformations + 1)
          refuse(action.at, fmt::format("the rule has more than {} transformations", max_transformations));
        if (lengthens(known) && ++encodings == max_encodings + 1) {
          refuse(action.at, fmt::format("the rule has more than {} transformations that make values longer "
                                        "(base64Encode, hexEncode, urlEncode, utf8toUnicode)",
                                        max_encodings));
        }
        add(fmt::format("t:{}", known));
      } else if (name == "setvar") {
        if (++setvars_ == max_setvars + 1)
          refuse(action.at, fmt::format("there are more than {} setvar actions", max_setvars));
        add_checked(values_.setvar(action));
      } else if (name == "skipafter") {
        if (is_key(action.value)) {
          jumps_.emplace_back(action.value, action.at);
          add("skipAfter:" + marker_name(action.value));
        } else {
          refuse(action.at, "skipAfter names a SecMarker of the same text: letters, digits, \"_\", \"-\" and \".\"");
        }
      } else if (name == "ctl" && trusted_) {
        add_checked(values_.ctl(action));
      } else {
        refuse(action.at,
               fmt::format("the action {} is not allowed in a tenant's rules{}; allowed are {}", shown(name),
                           name == "ctl" ? " unless policy.tenant_rules is trusted" : "", allowed_actions(trusted_)));
      }
    }
    // libmodsecurity's scanner takes what follows a rule without actions, a SecMarker for one, for its actions.
    if (!starts) return out.empty() ? "t:none" : out;
    if (!id_given)
      refuse(d.at,
             fmt::format("the rule has no id; add id: with a number from {} to {}", first_tenant_id, last_tenant_id));
    return fmt::format("id:{},phase:{}{}{}", id.value_or(0), phase, out.empty() ? "" : ",", out);
  }

  std::optional<std::uint32_t> claim_id(const Action& action) {
    const auto id = whole_number(action.value);
    if (!id || *id < first_tenant_id || *id > last_tenant_id) {
      refuse(action.at, fmt::format("id must be a number from {} to {}", first_tenant_id, last_tenant_id));
      return std::nullopt;
    }
    if (!used_ids_.insert(*id).second) {
      refuse(action.at, fmt::format("id {} is used twice", *id));
      return std::nullopt;
    }
    result_.ids.push_back(*id);
    return id;
  }

  void marker(const Directive& d) {
    if (d.words.size() != 1 || !is_key(d.words[0].text)) {
      refuse(d.at, "SecMarker takes one name: letters, digits, \"_\", \"-\" and \".\"");
      return;
    }
    const std::string& name = d.words[0].text;
    if (!markers_.insert(name).second) refuse(d.at, fmt::format("the marker {} is set twice", name));
    std::erase_if(jumps_, [&](const auto& jump) { return jump.first == name; });
    result_.text += fmt::format("SecMarker {}\n", marker_name(name));
  }

  void removal(const Directive& d) {
    if (d.words.empty()) refuse(d.at, "SecRuleRemoveById takes ids and ranges: 942100 942200-942299");
    for (const Word& word : d.words) {
      for (std::string_view rest = word.text; !rest.empty();) {
        const std::size_t end = std::min(rest.find(' '), rest.size());
        const std::string_view one = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (one.empty()) continue;
        const std::size_t dash = one.find('-');
        const auto first = whole_number(one.substr(0, dash));
        const auto last = dash == std::string_view::npos ? first : whole_number(one.substr(dash + 1));
        if (!first || !last || *first > *last || *last > last_rule_id) {
          refuse(d.at, fmt::format("\"{}\" is neither a rule's id nor a range of ids", shown(one)));
        } else {
          result_.removals.push_back({d.at, *first, *last});
        }
      }
    }
  }

  void target_update(const Directive& d) {
    const auto id = d.words.size() == 2 ? whole_number(d.words[0].text) : std::nullopt;
    if (!id || *id > last_rule_id) {
      refuse(d.at, "SecRuleUpdateTargetById takes one rule's id and the variables to add or, with \"!\", to leave out");
      return;
    }
    const auto variables = parse_variables(d.words[1], "|,", lines_, result_.errors);
    if ((updates_ += variables.size()) > max_updates) {
      refuse(d.at, fmt::format("the text changes more than {} targets of rules", max_updates));
      return;
    }
    xml_additions_ = bound_xml(variables, xml_additions_, "the text makes rules look at");
    for (const Variable& v : variables) {
      const auto written = values_.variable(v);
      if (!written) continue;
      if (v.exclude) {
        result_.target_removals.push_back({v.at, *id, v});
      } else {
        result_.additions.push_back({v.at, *id});
        result_.text += fmt::format("SecRuleUpdateTargetById {} \"{}\"\n", *id, *written);
      }
    }
  }

  bool trusted_;
  std::set<std::uint32_t>& used_ids_;
  std::vector<std::uint32_t> lines_;
  CheckedRules result_;
  ValueWriter values_{result_.errors};
  std::vector<std::pair<std::string, Position>> jumps_;  // skipAfter whose marker has not come yet
  std::set<std::string> markers_;
  const Directive* chain_start_ = nullptr;  // the rule whose chain goes on with the next directive
  std::string chain_text_;                  // its canonical form so far
  std::size_t rules_ = 0;
  std::size_t xml_additions_ = 0;  // by SecRuleUpdateTargetById
  std::size_t setvars_ = 0;
  std::size_t updates_ = 0;  // targets that SecRuleUpdateTargetById changes
};

}  // namespace

CheckedRules check(std::string_view text, bool trusted, std::set<std::uint32_t>& used_ids) {
  CheckedRules refused;
  if (text.size() > max_text_bytes) {
    refused.errors.push_back({{}, fmt::format("the text is longer than {} bytes", max_text_bytes)});
    return refused;
  }
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    refused.errors.push_back({place_of(static_cast<std::uint32_t>(nul), line_starts(text)), "the text contains a NUL"});
    return refused;
  }
  return Checker(text, trusted, used_ids).check(parse(text));
}

}  // namespace gatehouse::waf::seclang
