#include "waf/seclang_check.hpp"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "config/address.hpp"
#include "waf/seclang_words.hpp"

namespace gatehouse::waf::seclang {
namespace {

bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_alnum(char c) noexcept { return is_letter(c) || is_digit(c); }

std::optional<std::uint32_t> number(std::string_view text) noexcept {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// What an error shows of the tenant's words: short, without what a terminal would act on.
std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 40)) out += c >= 0x20 && c < 0x7F ? c : '?';
  if (text.size() > 40) out += "...";
  return out;
}

struct Checker {
  bool trusted;
  std::set<std::uint32_t>& used_ids;
  CheckedRules result;
  std::vector<std::pair<std::string, Position>> jumps;  // skipAfter whose marker has not come yet
  std::set<std::string> markers;
  const Directive* chain_start = nullptr;  // the rule whose chain goes on with the next directive
  std::string chain_text;                  // its canonical form so far
  std::size_t rules = 0;

  void error(Position at, std::string message) { result.errors.push_back({at, std::move(message)}); }

  // ---- values -------------------------------------------------------------------------------------------------

  // "%{TX.score}" at `at`; appends the canonical form and moves on. Reports an error and returns false otherwise.
  bool macro(std::string_view text, std::size_t& at, Position place, std::string& out) {
    const std::size_t close = text.find('}', at);
    if (close == std::string_view::npos) {
      error(place, "a macro \"%{\" is not closed by \"}\"");
      return false;
    }
    const std::string_view inside = text.substr(at + 2, close - at - 2);
    const std::size_t dot = inside.find_first_of(".:");
    const std::string name = upper_case(inside.substr(0, dot));
    const VariableKind kind = variable_kind(name);
    if (kind == VariableKind::refused || kind == VariableKind::xml) {
      error(place, fmt::format("the macro %{{{}}} is not allowed here", shown(inside)));
      return false;
    }
    if ((dot == std::string_view::npos) != (kind == VariableKind::scalar)) {
      error(place, fmt::format("the macro %{{{}}} {}", shown(inside),
                               kind == VariableKind::scalar ? "takes no name after it" : "needs a name: %{ARGS.name}"));
      return false;
    }
    out += "%{" + name;
    if (dot != std::string_view::npos) {
      const std::string_view selector = inside.substr(dot + 1);
      if (!is_key(selector)) {
        error(place, fmt::format("the macro %{{{}}} has a name with characters other than letters, digits, \"_\", \"-\" and \".\"", shown(inside)));
        return false;
      }
      out += '.';
      out += selector;
    }
    out += '}';
    at = close + 1;
    return true;
  }

  static bool is_key(std::string_view text) noexcept {
    return !text.empty() && text.size() <= 128 &&
           std::all_of(text.begin(), text.end(), [](char c) { return is_alnum(c) || c == '_' || c == '-' || c == '.'; });
  }

  // Text with macros. `plain` says which characters may stand in it; those that libmodsecurity's scanner reads
  // differently from a human never may.
  template <typename Plain>
  std::optional<std::string> text_with_macros(std::string_view text, Position place, bool macros, std::string_view what, Plain plain) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      if (text[at] == '%' && text.substr(at, 2) == "%{") {
        if (!macros) {
          error(place, fmt::format("{} must not contain a macro", what));
          return std::nullopt;
        }
        if (!macro(text, at, place, out)) return std::nullopt;
        continue;
      }
      const char c = text[at];
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F || !plain(c)) {
        error(place, fmt::format("{} must not contain the character \"{}\"", what, shown(std::string_view(&c, 1))));
        return std::nullopt;
      }
      out += c;
      ++at;
    }
    return out;
  }

  // msg, logdata, tag
  std::optional<std::string> label(const Action& action, bool macros) {
    if (action.value.empty() || action.value.size() > 1024) {
      error(action.at, fmt::format("{} needs a text of 1 to 1024 bytes", action.name));
      return std::nullopt;
    }
    return text_with_macros(action.value, action.value_at, macros, action.name,
                            [](char c) { return c != '\'' && c != '"' && c != '\\' && c != '%'; });
  }

  // ---- variables ----------------------------------------------------------------------------------------------

  // `list`: how the variables are separated where they are written. Returns the canonical form.
  std::optional<std::string> variable(const Variable& v, bool& alternation) {
    const VariableKind kind = variable_kind(v.name);
    if (kind == VariableKind::refused) {
      error(v.at, fmt::format("the variable {} is not allowed in a tenant's rules", shown(v.name)));
      return std::nullopt;
    }
    if (kind == VariableKind::scalar && v.has_selector) {
      error(v.at, fmt::format("{} has one value, so that \":\" does not apply", v.name));
      return std::nullopt;
    }
    if (kind == VariableKind::scalar && v.count) {
      error(v.at, fmt::format("{} has one value, so that \"&\" does not apply", v.name));
      return std::nullopt;
    }
    if (kind == VariableKind::xml && (!v.has_selector || (v.selector != "/*" && v.selector != "//@*"))) {
      error(v.at, "of XML only XML:/* (texts) and XML://@* (attributes) are allowed");
      return std::nullopt;
    }
    if (kind == VariableKind::tx && !v.has_selector) {
      error(v.at, "TX needs a name: TX:score");
      return std::nullopt;
    }
    std::string out;
    if (v.exclude) out += '!';
    if (v.count) out += '&';
    out += v.name;
    if (!v.has_selector) return out;
    out += ':';
    if (kind == VariableKind::xml) return out + v.selector;
    if (!v.regex) {
      const auto plain = [](char c) {
        return is_alnum(c) || c == '_' || c == '-' || c == '.' || c == '[' || c == ']' || c == '$' || c == '@' ||
               static_cast<unsigned char>(c) >= 0x80;
      };
      if (v.selector.size() > 256 || !std::all_of(v.selector.begin(), v.selector.end(), plain)) {
        error(v.at, "a name may have letters, digits, \"_\", \"-\", \".\", \"[\", \"]\", \"$\" and \"@\"; for others use a regular "
                    "expression: ARGS:/^a\\x20b$/");
        return std::nullopt;
      }
      return out + v.selector;
    }
    const auto pattern = portable_pattern(v.selector, v.at, "a name's regular expression");
    if (!pattern) return std::nullopt;
    std::string selector;
    for (std::size_t i = 0; i < pattern->size(); ++i) {
      const char c = (*pattern)[i];
      if (c == '\'' || c == ' ' || c == '=' || c == ',' || c == '}') {
        const bool escaped = trailing_backslashes(selector) % 2 == 1;
        if (escaped) selector.pop_back();
        selector += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      } else {
        selector += c;
      }
    }
    if (selector.find('|') == std::string::npos) return out + "/" + selector + "/";
    // With "|" inside it must stand in quotes, which libmodsecurity's scanner closes at the last "/'" of the list.
    if (std::exchange(alternation, true)) {
      error(v.at, "only one variable of a rule may have a regular expression with \"|\"");
      return std::nullopt;
    }
    return out + "'/" + selector + "/'";
  }

  static std::size_t trailing_backslashes(std::string_view text) noexcept {
    const std::size_t last = text.find_last_not_of('\\');
    return last == std::string_view::npos ? text.size() : text.size() - last - 1;
  }

  std::optional<std::string> variables(const std::vector<Variable>& list, char separator) {
    std::string out;
    bool alternation = false;
    bool looks = false;
    bool fine = true;
    for (const Variable& v : list) {
      if (v.exclude && v.count) fine = false;
      looks = looks || !v.exclude;
      const auto text = variable(v, alternation);
      if (!text) {
        fine = false;
        continue;
      }
      if (!out.empty()) out += separator;
      out += *text;
    }
    if (fine && !looks) {
      error(list.empty() ? Position{} : list.front().at, "a rule with exclusions alone looks at nothing");
      fine = false;
    }
    if (!fine) return std::nullopt;
    return out;
  }

  // ---- operators ----------------------------------------------------------------------------------------------

  // A regular expression that compiles, written so that neither a quote nor a percent sign is in it: libmodsecurity's
  // scanner reads %{ as a macro and %" as text that goes on.
  std::optional<std::string> portable_pattern(std::string_view pattern, Position place, std::string_view what) {
    if (pattern.size() > max_pattern_bytes) {
      error(place, fmt::format("{} is longer than {} bytes", what, max_pattern_bytes));
      return std::nullopt;
    }
    // As libmodsecurity will: "\"" within quotes is the pattern \", which is a quote.
    int code = 0;
    PCRE2_SIZE offset = 0;
    const std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> compiled(
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_DOTALL | PCRE2_MULTILINE, &code,
                      &offset, nullptr),
        pcre2_code_free);
    if (!compiled) {
      PCRE2_UCHAR message[120];
      pcre2_get_error_message(code, message, sizeof(message));
      place.column += static_cast<int>(std::min<std::size_t>(offset, pattern.size()));
      error(place, fmt::format("{} does not compile: {}", what, reinterpret_cast<const char*>(message)));
      return std::nullopt;
    }
    if (pattern.find("\\Q") != std::string_view::npos) {
      error(place, fmt::format("{} must not use \\Q...\\E; escape the characters one by one", what));
      return std::nullopt;
    }
    std::string out;
    for (std::size_t at = 0; at < pattern.size(); ++at) {
      char c = pattern[at];
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
        error(place, fmt::format("{} must not contain control characters; write \\x{:02x}", what, static_cast<unsigned char>(c)));
        return std::nullopt;
      }
      if (c == '\\' && at + 1 < pattern.size()) {
        const char next = pattern[at + 1];
        ++at;
        if (next == '"' || next == '%') {
          c = next;
        } else if (next == '\\') {
          out += "\\x5c";
          continue;
        } else {
          out += c;
          out += next;
          continue;
        }
      }
      if (c == '"' || c == '%') {
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
      } else {
        out += c;
      }
    }
    return out;
  }

  std::optional<std::string> operator_text(const Operator& op) {
    const OperatorWord* const word = operator_word(op.name);
    if (word == nullptr) {
      error(op.at, fmt::format("the operator @{} is not allowed in a tenant's rules; allowed are {}", shown(op.name), allowed_operators()));
      return std::nullopt;
    }
    const auto argument = operator_argument(*word, op);
    if (!argument) return std::nullopt;
    std::string out = op.negated ? "!@" : "@";
    out += word->name;
    if (word->argument != Argument::none) out += " " + *argument;
    return out;
  }

  std::optional<std::string> operator_argument(const OperatorWord& word, const Operator& op) {
    const std::string what = fmt::format("the argument of @{}", word.name);
    const std::string_view argument = op.argument;
    const auto bad = [&](std::string_view why) -> std::optional<std::string> {
      error(op.argument_at, fmt::format("{} {}", what, why));
      return std::nullopt;
    };
    if (word.argument == Argument::none) {
      if (argument.find_first_not_of(" \t") != std::string_view::npos) return bad("must be empty");
      return "";
    }
    if (argument.empty()) return bad("is missing");
    switch (word.argument) {
      case Argument::pattern:
        return portable_pattern(argument, op.argument_at, what);
      case Argument::text:
      case Argument::words:
        if (argument.size() > max_pattern_bytes) return bad("is too long");
        if (argument.front() == ' ' || argument.back() == ' ') return bad("begins or ends with a blank");
        return text_with_macros(argument, op.argument_at, word.argument == Argument::text, what,
                                [](char c) { return c != '"' && c != '\\' && c != '%'; });
      case Argument::number:
        if (argument.starts_with("%{")) {
          std::string out;
          std::size_t at = 0;
          if (!macro(argument, at, op.argument_at, out)) return std::nullopt;
          if (at != argument.size()) return bad("is a number or one macro");
          return out;
        }
        if (const auto value = number(argument); !value || *value > 2'147'483'647) return bad("is a whole number or a macro");
        return std::string(argument);
      case Argument::networks: {
        std::size_t at = 0;
        while (at <= argument.size()) {
          const std::size_t end = std::min(argument.find(',', at), argument.size());
          if (!Cidr::parse(argument.substr(at, end - at))) return bad("is a list of addresses and networks, separated by commas without blanks");
          at = end + 1;
        }
        return std::string(argument);
      }
      case Argument::byte_ranges: {
        std::size_t at = 0;
        while (at <= argument.size()) {
          const std::size_t end = std::min(argument.find(',', at), argument.size());
          const std::string_view part = argument.substr(at, end - at);
          const std::size_t dash = part.find('-');
          const auto low = number(part.substr(0, dash));
          const auto high = dash == std::string_view::npos ? low : number(part.substr(dash + 1));
          if (!low || !high || *low > *high || *high > 255) return bad("is a list like 32-126,9,10,13");
          at = end + 1;
        }
        return std::string(argument);
      }
      case Argument::none:
        break;
    }
    return std::nullopt;
  }

  // ---- actions ------------------------------------------------------------------------------------------------

  struct Actions {
    std::string text;
    bool chain = false;
    bool fine = true;
  };

  Actions actions(const Directive& directive, bool starts) {
    Actions out;
    std::optional<std::uint32_t> id;
    std::set<std::string> once;
    std::string rest;
    std::uint32_t phase = 2;
    const auto refuse = [&](const Action& action, std::string message) {
      error(action.at, std::move(message));
      out.fine = false;
    };
    const auto add = [&](std::string_view text) { (rest += ',') += text; };
    for (const Action& action : directive.actions) {
      const std::string& name = action.name;
      const bool repeatable = name == "t" || name == "setvar" || name == "tag" || name == "ctl";
      const bool disruptive = name == "deny" || name == "pass" || name == "block";
      if (!repeatable && !once.insert(disruptive ? "deny, pass or block" : name == "nolog" ? "log" : name).second) {
        refuse(action, fmt::format("{} is given twice or contradicts an earlier action", name));
        continue;
      }
      const bool bare = disruptive || name == "log" || name == "nolog" || name == "chain" || name == "capture" || name == "multimatch";
      if (bare && action.has_value) {
        refuse(action, fmt::format("{} takes no value", name));
        continue;
      }
      const bool of_starter = disruptive || name == "id" || name == "phase" || name == "status" || name == "msg" || name == "tag" ||
                              name == "severity" || name == "log" || name == "nolog" || name == "logdata" || name == "skipafter";
      if (!starts && of_starter) {
        refuse(action, fmt::format("{} belongs to the first rule of the chain", name));
        continue;
      }
      if (name == "id") {
        id = number(action.value);
        if (!id || *id < first_tenant_id || *id > last_tenant_id) {
          refuse(action, fmt::format("id must be a number from {} to {}", first_tenant_id, last_tenant_id));
        } else if (!used_ids.insert(*id).second) {
          refuse(action, fmt::format("id {} is used twice", *id));
        } else {
          result.ids.push_back(*id);
        }
      } else if (name == "phase") {
        const std::string value = lower_case(action.value);
        const auto given = value == "request" ? 2 : value == "response" ? 4 : value == "logging" ? 5 : number(value).value_or(0);
        if (given < 1 || given > 5) refuse(action, "phase must be 1 to 5, request, response or logging");
        phase = static_cast<std::uint32_t>(given);
      } else if (name == "status") {
        const auto status = number(action.value);
        if (!status || *status < 400 || *status > 599) {
          refuse(action, "status must be 400 to 599");
        } else {
          add(fmt::format("status:{}", *status));
        }
      } else if (name == "severity") {
        const std::string_view severity = severity_name(action.value);
        if (severity.empty()) {
          refuse(action, "severity must be EMERGENCY, ALERT, CRITICAL, ERROR, WARNING, NOTICE, INFO, DEBUG or 0 to 7");
        } else {
          add(fmt::format("severity:'{}'", severity));
        }
      } else if (name == "msg" || name == "logdata" || name == "tag") {
        const auto text = label(action, name != "tag");
        if (text) {
          add(fmt::format("{}:'{}'", name, *text));
        } else {
          out.fine = false;
        }
      } else if (name == "t") {
        const std::string_view known = transformation(action.value);
        if (known.empty()) {
          refuse(action, fmt::format("there is no transformation t:{}", shown(action.value)));
        } else {
          add(fmt::format("t:{}", known));
        }
      } else if (name == "setvar") {
        const auto text = setvar(action);
        if (text) {
          add(*text);
        } else {
          out.fine = false;
        }
      } else if (name == "skipafter") {
        if (!is_key(action.value)) {
          refuse(action, "skipAfter names a SecMarker of the same text: letters, digits, \"_\", \"-\" and \".\"");
        } else {
          jumps.emplace_back(action.value, action.at);
          add("skipAfter:" + marker_name(action.value));
        }
      } else if (name == "ctl" && trusted) {
        const auto text = ctl(action);
        if (text) {
          add(*text);
        } else {
          out.fine = false;
        }
      } else if (name == "chain") {
        out.chain = true;
        add("chain");
      } else if (bare) {
        add(name == "multimatch" ? "multiMatch" : name);
      } else {
        refuse(action, fmt::format("the action {} is not allowed in a tenant's rules{}; allowed are {}", shown(name),
                                   name == "ctl" ? " unless policy.tenant_rules is trusted" : "", allowed_actions(trusted)));
      }
    }
    if (starts) {
      if (!id && out.fine) {
        error(directive.at, fmt::format("the rule has no id; add id: with a number from {} to {}", first_tenant_id, last_tenant_id));
        out.fine = false;
      }
      out.text = fmt::format("id:{},phase:{}{}", id.value_or(0), phase, rest);
    } else {
      out.text = rest.empty() ? "" : rest.substr(1);
    }
    return out;
  }

  std::optional<std::string> setvar(const Action& action) {
    const auto bad = [&](std::string_view why) -> std::optional<std::string> {
      error(action.at, std::string(why));
      return std::nullopt;
    };
    std::string_view text = action.value;
    const bool unset = text.starts_with('!');
    if (unset) text.remove_prefix(1);
    if (text.size() < 3 || lower_case(text.substr(0, 2)) != "tx" || (text[2] != '.' && text[2] != ':')) {
      return bad("setvar may set variables of TX alone: setvar:'tx.name=1'");
    }
    text.remove_prefix(3);
    const std::size_t equals = text.find('=');
    const std::string_view name = text.substr(0, equals);
    if (!is_key(name)) return bad("the variable's name may have letters, digits, \"_\", \"-\" and \".\"");
    if (unset) {
      if (equals != std::string_view::npos) return bad("setvar with \"!\" removes the variable and takes no value");
      return fmt::format("setvar:!tx.{}", name);
    }
    if (equals == std::string_view::npos) return fmt::format("setvar:'tx.{}=1'", name);
    const std::string_view value = text.substr(equals + 1);
    if (value.size() > 1024) return bad("the variable's value is too long");
    const auto checked = text_with_macros(value, action.value_at, true, "the value of setvar", [](char c) {
      return is_alnum(c) || c == ' ' || c == '_' || c == '-' || c == '.' || c == ':' || c == '/' || c == '+' || c == ';' || c == '@';
    });
    if (!checked) return std::nullopt;
    return fmt::format("setvar:'tx.{}={}'", name, *checked);
  }

  std::optional<std::string> ctl(const Action& action) {
    const std::size_t equals = action.value.find('=');
    const std::string name = lower_case(std::string_view(action.value).substr(0, equals));
    const std::string_view value = equals == std::string::npos ? std::string_view{} : std::string_view(action.value).substr(equals + 1);
    if (name == "ruleengine") {
      if (equals_ignoring_case(value, "DetectionOnly")) return "ctl:ruleEngine=DetectionOnly";
      error(action.at, "of ctl:ruleEngine only DetectionOnly is allowed");
      return std::nullopt;
    }
    if (name == "ruleremovebyid") {
      const std::size_t dash = value.find('-');
      const auto first = number(value.substr(0, dash));
      const auto last = dash == std::string_view::npos ? first : number(value.substr(dash + 1));
      if (first && last && *first <= *last && *last <= 99'999'999) {
        return *first == *last ? fmt::format("ctl:ruleRemoveById={}", *first) : fmt::format("ctl:ruleRemoveById={}-{}", *first, *last);
      }
      error(action.at, "ctl:ruleRemoveById takes a rule's id or a range: 942100 or 942100-942199");
      return std::nullopt;
    }
    if (name == "ruleremovetargetbyid") {
      const std::size_t semicolon = value.find(';');
      const auto id = number(value.substr(0, semicolon));
      if (id && *id <= 99'999'999 && semicolon != std::string_view::npos) {
        const std::string_view target = value.substr(semicolon + 1);
        const std::size_t colon = target.find(':');
        const std::string variable = upper_case(target.substr(0, colon));
        const VariableKind kind = variable_kind(variable);
        const bool named = colon != std::string_view::npos;
        if (kind != VariableKind::refused && kind != VariableKind::xml && (!named || is_key(target.substr(colon + 1)))) {
          return fmt::format("ctl:ruleRemoveTargetById={};{}{}", *id, variable, named ? target.substr(colon) : std::string_view{});
        }
      }
      error(action.at, "ctl:ruleRemoveTargetById takes a rule's id and a variable: 942100;ARGS:comment");
      return std::nullopt;
    }
    error(action.at, "of ctl only ruleRemoveById, ruleRemoveTargetById and ruleEngine=DetectionOnly are allowed");
    return std::nullopt;
  }

  // Apart from the markers of the platform's rules.
  static std::string marker_name(std::string_view name) { return fmt::format("tenant-marker-{}", name); }

  // ---- directives ---------------------------------------------------------------------------------------------

  void directive(const Directive& d) {
    const bool rule = equals_ignoring_case(d.name, "SecRule");
    const bool action = equals_ignoring_case(d.name, "SecAction");
    if (chain_start != nullptr && !rule) {
      error(d.at, "a SecRule is expected here, since the rule before it says chain");
      chain_start = nullptr;
      return;
    }
    if (rule || action) return rule_or_action(d, rule);
    if (equals_ignoring_case(d.name, "SecMarker")) return marker(d);
    if (equals_ignoring_case(d.name, "SecRuleRemoveById")) return removal(d);
    if (equals_ignoring_case(d.name, "SecRuleUpdateTargetById")) return target_update(d);
    error(d.at, fmt::format("the directive {} is not allowed in a tenant's rules; allowed are SecRule, SecAction, SecMarker, "
                            "SecRuleRemoveById and SecRuleUpdateTargetById", shown(d.name)));
  }

  void rule_or_action(const Directive& d, bool rule) {
    if (++rules == max_rules + 1) error(d.at, fmt::format("more than {} rules", max_rules));
    if (rules > max_rules) return;
    const bool starts = chain_start == nullptr;
    std::string head = "SecAction";
    bool fine = true;
    if (rule) {
      const auto list = variables(d.variables, '|');
      const auto op = operator_text(d.op);
      fine = list && op;
      if (fine) head = fmt::format("SecRule {} \"{}\"", *list, *op);
    }
    const Actions list = actions(d, starts);
    fine = fine && list.fine;
    if (list.chain && !rule) {
      error(d.at, "SecAction cannot begin a chain");
      fine = false;
    }
    if (starts) chain_text.clear();
    chain_text += list.text.empty() ? head + "\n" : fmt::format("{} \"{}\"\n", head, list.text);
    chain_start = list.chain && rule ? &d : nullptr;
    if (chain_start == nullptr) result.text += chain_text;  // a chain is written once it is complete
  }

  void marker(const Directive& d) {
    if (d.words.size() != 1 || !is_key(d.words[0].text)) {
      error(d.at, "SecMarker takes one name: letters, digits, \"_\", \"-\" and \".\"");
      return;
    }
    const std::string& name = d.words[0].text;
    if (!markers.insert(name).second) error(d.at, fmt::format("the marker {} is set twice", name));
    std::erase_if(jumps, [&](const auto& jump) { return jump.first == name; });
    result.text += fmt::format("SecMarker {}\n", marker_name(name));
  }

  void removal(const Directive& d) {
    if (d.words.empty()) error(d.at, "SecRuleRemoveById takes ids and ranges: 942100 942200-942299");
    for (const Word& word : d.words) {
      std::string_view rest = word.text;
      while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(' '), rest.size());
        const std::string_view one = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (one.empty()) continue;
        const std::size_t dash = one.find('-');
        const auto first = number(one.substr(0, dash));
        const auto last = dash == std::string_view::npos ? first : number(one.substr(dash + 1));
        if (!first || !last || *first > *last) {
          error(d.at, fmt::format("\"{}\" is neither a rule's id nor a range of ids", shown(one)));
        } else {
          result.removals.push_back({d.at, *first, *last});
        }
      }
    }
  }

  void target_update(const Directive& d) {
    const auto id = d.words.size() == 2 ? number(d.words[0].text) : std::nullopt;
    if (!id || *id > 99'999'999) {
      error(d.at, "SecRuleUpdateTargetById takes one rule's id and the variables to add or, with \"!\", to leave out");
      return;
    }
    std::vector<Error> errors;
    // Words keep offsets into the text; places within the list are those of the directive.
    const std::vector<Variable> list = parse_variables(d.words[1], "|,", lines, errors);
    for (Error& e : errors) result.errors.push_back(std::move(e));
    for (const Variable& v : list) {
      bool alternation = false;
      const auto text = variable(v, alternation);
      if (!text) continue;
      if (v.exclude) {
        result.target_removals.push_back({v.at, *id, v});
      } else {
        result.additions.push_back(*id);
        result.text += fmt::format("SecRuleUpdateTargetById {} \"{}\"\n", *id, *text);
      }
    }
  }

  std::vector<std::uint32_t> lines;
};

}  // namespace

CheckedRules check(std::string_view text, bool trusted, std::set<std::uint32_t>& used_ids) {
  Checker checker{.trusted = trusted, .used_ids = used_ids};
  if (text.size() > max_text_bytes) {
    checker.error({}, fmt::format("the text is longer than {} bytes", max_text_bytes));
    return std::move(checker.result);
  }
  if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
    checker.error(place_of(static_cast<std::uint32_t>(nul), line_starts(text)), "the text contains a NUL");
    return std::move(checker.result);
  }
  checker.lines = line_starts(text);
  Text parsed = parse(text);
  checker.result.errors = std::move(parsed.errors);
  for (const Directive& directive : parsed.directives) checker.directive(directive);
  if (checker.chain_start != nullptr) {
    checker.error(checker.chain_start->at, "the rule says chain, but no SecRule follows");
  }
  for (const auto& [name, at] : checker.jumps) {
    checker.error(at, fmt::format("there is no SecMarker {} after this rule in the same text", name));
  }
  std::stable_sort(checker.result.errors.begin(), checker.result.errors.end(), [](const Error& a, const Error& b) {
    return std::pair(a.at.line, a.at.column) < std::pair(b.at.line, b.at.column);
  });
  return std::move(checker.result);
}

}  // namespace gatehouse::waf::seclang
