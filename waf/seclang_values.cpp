#include "waf/seclang_values.hpp"

#include <algorithm>
#include <charconv>
#include <memory>
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
bool is_control(char c) noexcept { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }
bool is_high(char c) noexcept { return static_cast<unsigned char>(c) >= 0x80; }

// Empty if it compiles as libmodsecurity will compile it, else PCRE2's message; `offset` is where it stopped.
std::string compile_error(std::string_view pattern, std::size_t& offset) {
  int code = 0;
  const std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> compiled(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_DOTALL | PCRE2_MULTILINE, &code,
                    &offset, nullptr),
      pcre2_code_free);
  if (compiled) return {};
  PCRE2_UCHAR message[120];
  pcre2_get_error_message(code, message, sizeof(message));
  return reinterpret_cast<const char*>(message);
}

std::string hex_escape(char c) { return fmt::format("\\x{:02x}", static_cast<unsigned char>(c)); }

}  // namespace

bool is_key(std::string_view text) noexcept {
  return !text.empty() && text.size() <= 128 &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_alnum(c) || c == '_' || c == '-' || c == '.'; });
}

std::optional<std::uint32_t> whole_number(std::string_view text) noexcept {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 40)) out += c >= 0x20 && c < 0x7F ? c : '?';
  if (text.size() > 40) out += "...";
  return out;
}

std::nullopt_t ValueWriter::refuse(Position at, std::string message) {
  errors_.push_back({at, std::move(message)});
  return std::nullopt;
}

// ---- text and macros ------------------------------------------------------------------------------------------------

// "%{TX.score}" at `at`: appends the canonical form and moves on.
bool ValueWriter::macro(std::string_view text, std::size_t& at, Position place, std::string& out) {
  const auto bad = [&](std::string message) {
    refuse(place, std::move(message));
    return false;
  };
  const std::size_t close = text.find('}', at);
  if (close == std::string_view::npos) return bad("a macro \"%{\" is not closed by \"}\"");
  const std::string_view inside = text.substr(at + 2, close - at - 2);
  const std::size_t dot = inside.find_first_of(".:");
  const bool named = dot != std::string_view::npos;
  const std::string name = upper_case(inside.substr(0, dot));
  const VariableKind kind = variable_kind(name);
  if (kind == VariableKind::refused || kind == VariableKind::xml)
    return bad(fmt::format("the macro %{{{}}} is not allowed", shown(inside)));
  if (named == (kind == VariableKind::scalar)) {
    return bad(fmt::format("the macro %{{{}}} {}", shown(inside),
                           named ? "takes no name after it" : "needs a name, as in %{TX.score}"));
  }
  out += "%{" + name;
  if (named) {
    const std::string_view selector = inside.substr(dot + 1);
    if (!is_key(selector)) {
      return bad(
          fmt::format("the name in the macro %{{{}}} may have letters, digits, \"_\", \"-\" and \".\"", shown(inside)));
    }
    (out += '.') += selector;
  }
  out += '}';
  at = close + 1;
  return true;
}

// libmodsecurity's scanner takes "%" before a quote as text that goes on behind the quote, unescapes nothing, and
// ends a label at a single quote: characters that it reads differently from a human are refused.
ValueWriter::Result ValueWriter::text(std::string_view text, Position at, Text kind, bool macros,
                                      std::string_view what) {
  const auto plain = [&](char c) {
    switch (kind) {
      case Text::label: return c != '\'' && c != '"' && c != '\\' && c != '%';
      case Text::argument: return c != '"' && c != '\\' && c != '%';
      case Text::words: return c != '"' && c != '\\' && c != '%' && c != '|' && c != ';';
      case Text::variable_value: break;
    }
    return is_alnum(c) || is_high(c) || std::string_view(" _-.:/+;@").find(c) != std::string_view::npos;
  };
  std::string out;
  std::size_t count = 0;
  const std::size_t most = kind == Text::label ? max_label_macros : max_macros;
  for (std::size_t i = 0; i < text.size();) {
    if (text.substr(i, 2) == "%{") {
      if (!macros) return refuse(at, fmt::format("{} must not contain a macro", what));
      if (++count > most) return refuse(at, fmt::format("{} contains more than {} macros", what, most));
      if (!macro(text, i, at, out)) return std::nullopt;
      continue;
    }
    if (is_control(text[i]) || !plain(text[i])) {
      return refuse(at, fmt::format("{} must not contain the character \"{}\"", what, shown(text.substr(i, 1))));
    }
    out += text[i++];
  }
  return out;
}

std::optional<std::string> ValueWriter::label(const Action& action, bool macros) {
  if (action.value.empty() || action.value.size() > 1024)
    return refuse(action.at, fmt::format("{} needs a text of 1 to 1024 bytes", action.name));
  return text(action.value, action.value_at, Text::label, macros, action.name);
}

// ---- regular expressions --------------------------------------------------------------------------------------------

// A pattern that compiles, written so that no quote and no percent sign is in it: the scanner reads %{ as a macro
// and %" as text that goes on.
ValueWriter::Result ValueWriter::pattern(std::string_view pattern, Position at, std::string_view what) {
  if (pattern.size() > max_pattern_bytes)
    return refuse(at, fmt::format("{} is longer than {} bytes", what, max_pattern_bytes));
  std::size_t offset = 0;
  if (const std::string error = compile_error(pattern, offset); !error.empty()) {
    at.column += static_cast<int>(std::min(offset, pattern.size()));
    return refuse(at, fmt::format("{} does not compile: {}", what, error));
  }
  // What changes how the rest is read, so that characters could not be rewritten one by one.
  for (const auto& [feature, advice] :
       {std::pair("\\Q", "escape the characters one by one"), std::pair("\\c", "write \\x and two digits"),
        std::pair("(*", "verbs and options are not for rules"), std::pair("(?C", "callouts are not for rules"),
        std::pair("%{", "macros are not for patterns; for the characters themselves write %\\{")}) {
    if (pattern.find(feature) != std::string_view::npos)
      return refuse(at, fmt::format("{} must not use {}: {}", what, feature, advice));
  }
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    char c = pattern[i];
    if (is_control(c))
      return refuse(at, fmt::format("{} must not contain control characters; write {}", what, hex_escape(c)));
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == '\\') {
        out += "\\x5c";
        continue;
      }
      if (next != '"' && next != '%') {
        (out += c) += next;
        continue;
      }
      c = next;
    }
    out += c == '"' || c == '%' ? hex_escape(c) : std::string(1, c);
  }
  if (const std::string error = compile_error(out, offset); !error.empty())
    return refuse(at, fmt::format("{} cannot be rewritten: {}", what, error));
  return out;
}

// ---- variables ------------------------------------------------------------------------------------------------------

// ARGS:/^a/. The scanner ends it at "/" before a separator, so that what separates is written as an escape. With "|"
// inside it must stand in quotes, which the scanner closes at the last "/'" of the list: one of those a rule.
ValueWriter::Result ValueWriter::name_pattern(const Variable& v, bool& alternation) {
  const auto checked = pattern(v.selector, v.at, "a name's regular expression");
  if (!checked) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < checked->size(); ++i) {
    const char c = (*checked)[i];
    if (c == '\\') {
      const char next = (*checked)[++i];
      out += std::string_view("' =,}").find(next) != std::string_view::npos ? hex_escape(next) : std::string{c, next};
    } else if (std::string_view("' =,").find(c) != std::string_view::npos) {
      out += hex_escape(c);
    } else if (c == '}') {
      return refuse(v.at, "a name's regular expression must not use \"}\"; write repetitions out");
    } else {
      out += c;
    }
  }
  // "=" and "'" have a meaning of their own in (?=, (?<= and (?'name', which do not compile any more.
  std::size_t offset = 0;
  if (!compile_error(out, offset).empty())
    return refuse(v.at, "a name's regular expression must not look ahead or behind");
  if (out.find('|') == std::string::npos) return "/" + out + "/";
  if (std::exchange(alternation, true))
    return refuse(v.at, "only one variable of a rule may have a regular expression with \"|\"");
  return "'/" + out + "/'";
}

ValueWriter::Result ValueWriter::variable(const Variable& v, bool& alternation) {
  const VariableKind kind = variable_kind(v.name);
  if (kind == VariableKind::refused)
    return refuse(v.at, fmt::format("the variable {} is not allowed in a tenant's rules", shown(v.name)));
  if (v.exclude && v.count) return refuse(v.at, "\"!\" and \"&\" exclude each other");
  if (kind == VariableKind::scalar && v.has_selector)
    return refuse(v.at, fmt::format("{} is one value: no name can follow it", v.name));
  if (kind == VariableKind::scalar && v.count)
    return refuse(v.at, fmt::format("{} is one value: \"&\" has nothing to count", v.name));
  if (kind == VariableKind::tx && !v.has_selector) return refuse(v.at, "TX needs a name, as in TX:score");
  if (kind == VariableKind::xml && v.selector != "/*" && v.selector != "//@*") {
    return refuse(v.at, "of XML only XML:/* (texts) and XML://@* (attributes) are allowed");
  }
  std::string out = v.exclude ? "!" : v.count ? "&" : "";
  out += v.name;
  if (!v.has_selector) return out;
  out += ':';
  if (kind == VariableKind::xml) return out + v.selector;
  if (v.regex) {
    const auto written = name_pattern(v, alternation);
    if (!written) return std::nullopt;
    return out + *written;
  }
  const auto plain = [](char c) {
    return is_alnum(c) || is_high(c) || std::string_view("_-.[]$@").find(c) != std::string_view::npos;
  };
  if (v.selector.size() > 256 || !std::all_of(v.selector.begin(), v.selector.end(), plain)) {
    return refuse(v.at,
                  "a name may have letters, digits and _ - . [ ] $ @; for others use a regular expression, as in "
                  "ARGS:/^a\\x20b$/");
  }
  return out + v.selector;
}

std::optional<std::string> ValueWriter::variable(const Variable& v) {
  bool alternation = false;
  return variable(v, alternation);
}

std::optional<std::string> ValueWriter::variables(const std::vector<Variable>& list) {
  std::string out;
  bool alternation = false;
  bool looks = false;
  bool fine = true;
  for (const Variable& v : list) {
    looks = looks || !v.exclude;
    const auto written = variable(v, alternation);
    fine = fine && written;
    if (!written) continue;
    if (!out.empty()) out += '|';
    out += *written;
  }
  if (!fine) return std::nullopt;
  if (!looks)
    return refuse(list.empty() ? Position{} : list.front().at, "a rule with exclusions alone looks at nothing");
  return out;
}

// ---- operators ------------------------------------------------------------------------------------------------------

std::optional<std::string> ValueWriter::operator_text(const Operator& op) {
  const OperatorWord* const word = operator_word(op.name);
  if (word == nullptr) {
    return refuse(op.at, fmt::format("the operator @{} is not allowed in a tenant's rules; allowed are {}",
                                     shown(op.name), allowed_operators()));
  }
  const auto written = argument(word->name, op);
  if (!written) return std::nullopt;
  return fmt::format("{}@{}{}{}", op.negated ? "!" : "", word->name, written->empty() ? "" : " ", *written);
}

ValueWriter::Result ValueWriter::argument(std::string_view operator_name, const Operator& op) {
  const std::string what = fmt::format("the argument of @{}", operator_name);
  const std::string_view argument = op.argument;
  const auto bad = [&](std::string_view why) { return refuse(op.argument_at, fmt::format("{} {}", what, why)); };
  const auto every_part = [&](auto fine) {
    for (std::size_t at = 0; at <= argument.size();) {
      const std::size_t end = std::min(argument.find(',', at), argument.size());
      if (!fine(argument.substr(at, end - at))) return false;
      at = end + 1;
    }
    return true;
  };
  const Argument kind = operator_word(operator_name)->argument;
  if (kind == Argument::none) {
    if (argument.find_first_not_of(" \t") != std::string_view::npos) return bad("must be empty");
    return "";
  }
  if (argument.empty()) return bad("is missing");
  switch (kind) {
    case Argument::none: break;
    case Argument::pattern: return pattern(argument, op.argument_at, what);
    case Argument::text:
    case Argument::words:
      if (argument.size() > max_pattern_bytes) return bad("is too long");
      if (argument.front() == ' ' || argument.back() == ' ') return bad("begins or ends with a blank");
      return text(argument, op.argument_at, kind == Argument::text ? Text::argument : Text::words,
                  kind == Argument::text, what);
    case Argument::number: {
      if (argument.starts_with("%{")) {
        std::string out;
        std::size_t at = 0;
        if (!macro(argument, at, op.argument_at, out)) return std::nullopt;
        if (at != argument.size()) return bad("must be a number or one macro");
        return out;
      }
      const auto value = whole_number(argument);
      if (!value || *value > 2'147'483'647) return bad("must be a whole number or a macro");
      return std::to_string(*value);
    }
    case Argument::networks:
      if (every_part([](std::string_view part) { return Cidr::parse(part).has_value(); })) return std::string(argument);
      return bad("must be a list of addresses and networks with commas and no blanks between");
    case Argument::byte_ranges: {
      const auto range = [](std::string_view part) {
        const std::size_t dash = part.find('-');
        const auto low = whole_number(part.substr(0, dash));
        const auto high = dash == std::string_view::npos ? low : whole_number(part.substr(dash + 1));
        return low && high && *low <= *high && *high <= 255;
      };
      if (every_part(range)) return std::string(argument);
      return bad("must be a list like 9,10,13,32-126");
    }
  }
  return std::nullopt;
}

// ---- actions --------------------------------------------------------------------------------------------------------

std::optional<std::string> ValueWriter::setvar(const Action& action) {
  std::string_view rest = action.value;
  const bool unset = rest.starts_with('!');
  if (unset) rest.remove_prefix(1);
  if (rest.size() < 4 || lower_case(rest.substr(0, 2)) != "tx" || (rest[2] != '.' && rest[2] != ':')) {
    return refuse(action.at, "setvar may set variables of TX alone, as in setvar:'tx.name=1'");
  }
  rest.remove_prefix(3);
  const std::size_t equals = rest.find('=');
  const std::string_view name = rest.substr(0, equals);
  if (!is_key(name))
    return refuse(action.at, "the name of a TX variable may have letters, digits, \"_\", \"-\" and \".\"");
  if (unset) {
    if (equals != std::string_view::npos)
      return refuse(action.at, "setvar with \"!\" removes the variable and takes no value");
    return fmt::format("setvar:!tx.{}", name);
  }
  if (equals == std::string_view::npos) return fmt::format("setvar:'tx.{}=1'", name);
  const std::string_view value = rest.substr(equals + 1);
  if (value.empty() || value.size() > 1024) return refuse(action.at, "the value of setvar needs 1 to 1024 bytes");
  const auto written = text(value, action.value_at, Text::variable_value, true, "the value of setvar");
  if (!written) return std::nullopt;
  return fmt::format("setvar:'tx.{}={}'", name, *written);
}

std::optional<std::string> ValueWriter::ctl(const Action& action) {
  const std::string_view all = action.value;
  const std::size_t equals = all.find('=');
  const std::string name = lower_case(all.substr(0, equals));
  const std::string_view value = equals == std::string_view::npos ? std::string_view{} : all.substr(equals + 1);
  constexpr std::uint32_t last_id = 99'999'999;
  if (name == "ruleengine") {
    if (equals_ignoring_case(value, "DetectionOnly")) return "ctl:ruleEngine=DetectionOnly";
    return refuse(action.at, "of ctl:ruleEngine only DetectionOnly is allowed");
  }
  if (name == "ruleremovebyid") {
    const std::size_t dash = value.find('-');
    const auto first = whole_number(value.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : whole_number(value.substr(dash + 1));
    if (!first || !last || *first > *last || *last > last_id) {
      return refuse(action.at, "ctl:ruleRemoveById takes a rule's id or a range: 942100 or 942100-942199");
    }
    return *first == *last ? fmt::format("ctl:ruleRemoveById={}", *first)
                           : fmt::format("ctl:ruleRemoveById={}-{}", *first, *last);
  }
  if (name == "ruleremovetargetbyid") {
    const std::size_t semicolon = value.find(';');
    const auto id = whole_number(value.substr(0, semicolon));
    const std::string_view target =
        semicolon == std::string_view::npos ? std::string_view{} : value.substr(semicolon + 1);
    const std::size_t colon = target.find(':');
    const std::string variable = upper_case(target.substr(0, colon));
    const VariableKind kind = variable_kind(variable);
    const bool fine = id && *id <= last_id && kind != VariableKind::refused && kind != VariableKind::xml &&
                      (colon == std::string_view::npos || is_key(target.substr(colon + 1)));
    if (!fine)
      return refuse(action.at, "ctl:ruleRemoveTargetById takes a rule's id and a variable: 942100;ARGS:comment");
    return fmt::format("ctl:ruleRemoveTargetById={};{}{}", *id, variable,
                       colon == std::string_view::npos ? std::string_view{} : target.substr(colon));
  }
  return refuse(action.at, "of ctl only ruleRemoveById, ruleRemoveTargetById and ruleEngine=DetectionOnly are allowed");
}

}  // namespace gatehouse::waf::seclang
