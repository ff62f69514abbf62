#include "waf/platform_rules.hpp"

#include <glob.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <mutex>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "config/text.hpp"
#include "waf/base_rules.hpp"
#include "waf/library.hpp"

namespace gatehouse::waf {
namespace {

using config::Place;
using config::Problem;
using config::Problems;

constexpr std::string_view base_name = "gatehouse-base-rules";

Problem problem(std::string file, int line, int column, std::string message) {
  Problem out;
  out.place = {.file = std::move(file), .line = line, .column = column};
  out.message = std::move(message);
  return out;
}

// About an item of waf.rules.
Problem rules_problem(const Place& place, const std::string& message) {
  return problem(place.file, place.line, place.column, "waf.rules: " + message);
}

// The files of one glob, sorted by name as nginx's include sorts them, or why there are none.
std::expected<std::vector<std::string>, std::string> expand(const std::string& pattern) {
  ::glob_t found{};
  const int result = ::glob(pattern.c_str(), GLOB_ERR, nullptr, &found);  // sorts
  std::vector<std::string> files(found.gl_pathv, found.gl_pathv + (result == 0 ? found.gl_pathc : 0));
  ::globfree(&found);
  if (result == GLOB_NOMATCH) return std::unexpected(fmt::format("no file matches {}", config::cite(pattern, 200)));
  if (result != 0) return std::unexpected(fmt::format("the folder of {} cannot be read", config::cite(pattern, 200)));
  return files;
}

// The text, or why it cannot be read.
std::expected<std::string, std::string> read_file(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  std::string text;
  std::array<char, 64UL * 1024> part;
  while (file.read(part.data(), part.size()), file.gcount() > 0)  // an iterator would throw for a folder
    text.append(part.data(), static_cast<std::size_t>(file.gcount()));
  if (file.bad() || !file.is_open()) return std::unexpected(std::strerror(errno));
  return text;
}

std::string_view base_part(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// A name in a file of rules is meant from the folder of that file, as libmodsecurity reads it.
std::string beside(const std::string& file, const std::string& name) {
  return name.starts_with('/') ? name : file.substr(0, file.rfind('/') + 1) + name;
}

bool is_include(const seclang::Directive& directive) {
  return seclang::equals_ignoring_case(directive.name, "Include");
}

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

// libmodsecurity takes a pattern that does not compile without a word, and the rule then never matches.
void check_pattern(const std::string& file, const seclang::Operator& op, Problems& problems) {
  if (!seclang::equals_ignoring_case(op.name, "rx") && !seclang::equals_ignoring_case(op.name, "rxGlobal")) return;
  if (op.argument.find("%{") != std::string::npos) return;  // known only at run time
  int code = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* const compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(op.argument.data()), op.argument.size(),
                                             PCRE2_DOTALL | PCRE2_MULTILINE, &code, &offset, nullptr);
  if (compiled != nullptr) return pcre2_code_free(compiled);
  PCRE2_UCHAR message[120];
  pcre2_get_error_message(code, message, sizeof(message));
  problems.push_back(
      problem(file, op.argument_at.line, op.argument_at.column,
              fmt::format("the regular expression does not compile: {}", reinterpret_cast<const char*>(message))));
}

std::uint32_t id_of(const std::vector<seclang::Action>& actions) {
  const auto found =
      std::find_if(actions.begin(), actions.end(), [](const auto& action) { return action.name == "id"; });
  std::uint32_t id = 0;
  if (found != actions.end()) std::from_chars(found->value.data(), found->value.data() + found->value.size(), id);
  return id;
}

bool has_chain(const std::vector<seclang::Action>& actions) {
  return std::any_of(actions.begin(), actions.end(), [](const auto& action) { return action.name == "chain"; });
}

bool is_rule(const seclang::Directive& directive) { return seclang::equals_ignoring_case(directive.name, "SecRule"); }
bool is_action(const seclang::Directive& directive) {
  return seclang::equals_ignoring_case(directive.name, "SecAction");
}

// SecDefaultAction with a transformation, which every rule then begins with.
bool changes_values(const seclang::Directive& directive) {
  return std::any_of(directive.words.begin(), directive.words.end(), [](const seclang::Word& word) {
    const std::string text = seclang::lower_case(word.text);
    for (std::size_t at = text.find("t:"); at != std::string::npos; at = text.find("t:", at + 1)) {
      if ((at == 0 || text[at - 1] == ',' || text[at - 1] == ' ') && text.compare(at, 6, "t:none") != 0) return true;
    }
    return false;
  });
}

// What is asked of a rule's text later. Patterns are long and nobody asks for them.
RuleLink link_of(const seclang::Directive& directive) {
  RuleLink link{directive.variables, directive.op, directive.actions};
#ifndef GATEHOUSE_SCREEN
  if (link.op.argument.size() > 128 && link.op.argument.find("%{") == std::string::npos)
    link.op.argument = "a long pattern";
#endif
  return link;
}

}  // namespace

bool is_never_run(std::uint32_t id) noexcept {
  return id == 901321 || id == 949100 || (id >= 910000 && id <= 910999) || (id >= 912000 && id <= 912999);
}

Problem parser_problem(const std::string& error, const std::string& fallback_file) {
  const auto between = [&](std::string_view before, std::string_view after) -> std::string {
    const std::size_t begin = error.find(before);
    if (begin == std::string::npos) return {};
    const std::size_t from = begin + before.size();
    const std::size_t end = error.find(after, from);
    return end == std::string::npos ? std::string{} : error.substr(from, end - from);
  };
  const std::string file = between("File: ", ". Line: ");
  const std::string line = between("Line: ", ". Column: ");
  const std::string column = between("Column: ", ". ");
  int line_number = 0;
  int column_number = 0;
  std::from_chars(line.data(), line.data() + line.size(), line_number);
  std::from_chars(column.data(), column.data() + column.size(), column_number);
  std::string message = error;
  if (const std::size_t end = error.find("Column: "); end != std::string::npos) {
    if (const std::size_t dot = error.find(". ", end); dot != std::string::npos) message = error.substr(dot + 2);
  }
  for (char& c : message) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  while (message.ends_with(' ')) message.pop_back();
  return problem(file.empty() ? fallback_file : file, line_number, std::max(column_number, 0),
                 "libmodsecurity: " + message);
}

std::expected<std::shared_ptr<const PlatformRules>, Problems> PlatformRules::load(const std::vector<std::string>& globs,
                                                                                  const std::vector<Place>& places) {
  Problems problems;
  std::vector<std::pair<std::string, Place>> files;  // and who names them
  for (std::size_t i = 0; i < globs.size(); ++i) {
    const Place place = i < places.size() ? places[i] : Place{.file = globs[i]};
    auto found = expand(globs[i]);
    if (!found) {
      const std::string_view advice =
          found.error().starts_with("no file") ? "; install modsecurity-crs or name the files that there are" : "";
      problems.push_back(rules_problem(place, fmt::format("{}{}", found.error(), advice)));
      continue;
    }
    for (std::string& file : *found) {
      const auto same = [&](const auto& known) { return known.first == file; };
      if (std::none_of(files.begin(), files.end(), same)) files.emplace_back(std::move(file), place);
    }
  }
  if (!problems.empty()) return std::unexpected(std::move(problems));

  std::shared_ptr<PlatformRules> rules(new PlatformRules);
  const std::lock_guard lock(parse_mutex());
  if (!rules->load_text(base_rules(), std::string(base_name), problems)) return std::unexpected(std::move(problems));
  std::array<std::size_t, phase_count> setup_end{};
  bool setup = true;
  const auto end_setup = [&] {
    setup = false;
    for (std::size_t i = 0; i < phase_count; ++i)
      setup_end[i] = rules->set_->m_rulesSetPhases[static_cast<int>(i)]->size();
  };
  for (const auto& [file, place] : files) {
    if (setup && base_part(file).starts_with("REQUEST-901")) end_setup();
    const auto text = read_file(file);
    if (!text) {
      problems.push_back(
          rules_problem(place, fmt::format("the file {} cannot be read: {}", config::cite(file, 200), text.error())));
    } else if (!rules->load_text(*text, file, problems)) {
      break;  // half a file may be in the set: what follows is noise
    }
  }
  if (setup) end_setup();
  if (!problems.empty()) return std::unexpected(std::move(problems));
  rules->arrange(setup_end);
  return rules;
}

// Includes are followed here, not by libmodsecurity, whose parser loses the text around an included file that it
// refuses: so the rules in them are learned as well, and a reload that fails leaves nothing behind.
bool PlatformRules::load_text(std::string_view text, const std::string& name, Problems& problems, int depth) {
  const std::size_t before = problems.size();
  const seclang::Text parsed = seclang::parse(text);  // its errors are left to libmodsecurity, which decides
  learn(name, parsed, problems);
  std::size_t from = 0;  // what is before it has been loaded
  const auto load_until = [&](std::size_t end) {
    const std::string_view part = text.substr(from, end - from);
    if (is_blank(part)) return true;
    const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.begin() + static_cast<long>(from), '\n'));
    if (set_->load((std::string(lines, '\n') + std::string(part)).c_str(), name) >= 0) return true;
    problems.push_back(parser_problem(set_->getParserError(), name));
    return false;
  };
  const std::vector<std::uint32_t> lines = seclang::line_starts(text);
  for (const seclang::Directive& directive : parsed.directives) {
    if (problems.size() != before) break;
    if (!is_include(directive) || directive.words.empty()) continue;
    if (!load_until(lines[static_cast<std::size_t>(directive.at.line) - 1])) break;
    if (!include(name, directive, problems, depth)) break;
    from = text.find('\n', directive.words.back().offsets.back());
    if (from == std::string_view::npos) from = text.size();
  }
  if (problems.size() == before && load_until(text.size())) return true;
  for (std::size_t i = before; i < problems.size(); ++i) {
    if (problems[i].place.file == name) problems[i].show_source(text);  // the others are shown where they were read
  }
  return false;
}

bool PlatformRules::include(const std::string& by, const seclang::Directive& directive, Problems& problems, int depth) {
  constexpr int max_depth = 10;
  const auto refuse = [&](const std::string& why) {
    problems.push_back(problem(by, directive.at.line, directive.at.column, "Include: " + why));
    return false;
  };
  if (depth >= max_depth)
    return refuse(fmt::format("files include each other more than {} deep; leave out what names itself", max_depth));
  for (const seclang::Word& word : directive.words) {
    const auto files = expand(beside(by, word.text));
    if (!files) return refuse(files.error());
    for (const std::string& file : *files) {
      const auto text = read_file(file);
      if (!text) return refuse(fmt::format("the file {} cannot be read: {}", config::cite(file, 200), text.error()));
      if (!load_text(*text, file, problems, depth + 1)) return false;
    }
  }
  return true;
}

// What the rules look at; and what libmodsecurity does not tell: patterns that do not compile, ids that are used
// twice (it sees those among SecRules of one phase alone, and names no place).
void PlatformRules::learn(const std::string& name, const seclang::Text& parsed, Problems& problems) {
  std::uint32_t id = 0;  // of the rule that the next link belongs to
  bool chained = false;
  for (const seclang::Directive& directive : parsed.directives) {
    const bool rule = is_rule(directive);
    if (!rule && !is_action(directive)) {
      if (seclang::equals_ignoring_case(directive.name, "SecDefaultAction") && changes_values(directive))
        texts_tell_all_ = false;
      continue;
    }
    if (rule) check_pattern(name, directive.op, problems);
    if (!std::exchange(chained, has_chain(directive.actions))) {
      id = id_of(directive.actions);
      if (id == 0) continue;  // libmodsecurity refuses it
      RuleFacts facts{.text = {}, .needs = rule ? slots_.needs(link_of(directive)) : always_present};
      if (!facts_.emplace(id, std::move(facts)).second) {
        problems.push_back(
            problem(name, directive.at.line, directive.at.column, fmt::format("rule id {} is used twice", id)));
      }
    }
    if (id != 0) facts_[id].text.links.push_back(link_of(directive));
  }
  added_targets_ |= waf::added_targets(parsed);
  if (!parsed.errors.empty()) texts_tell_all_ = false;  // a rule that we cannot read might do anything to the others
}

// Leaves out what is removed for all, once, instead of at each evaluation.
void PlatformRules::arrange(const std::array<std::size_t, phase_count>& setup_end) {
  // The gateway has logs of its own; what the files say of libmodsecurity's would be opened for every policy.
  delete std::exchange(set_->m_auditLog, new modsecurity::audit_log::AuditLog);
  delete std::exchange(set_->m_debugLog, new modsecurity::debug_log::DebugLog);

  auto& exceptions = set_->m_exceptions;
  const auto removed = [&](modsecurity::RuleWithActions& rule) {
    const auto tagged = [&](const std::string& tag) { return rule.containsTag(tag, nullptr); };
    const auto says = [&](const std::string& message) { return rule.containsMsg(message, nullptr); };
    return is_never_run(static_cast<std::uint32_t>(rule.m_ruleId)) ||
           exceptions.contains(static_cast<int>(rule.m_ruleId)) ||
           std::any_of(exceptions.m_remove_rule_by_tag.begin(), exceptions.m_remove_rule_by_tag.end(), tagged) ||
           std::any_of(exceptions.m_remove_rule_by_msg.begin(), exceptions.m_remove_rule_by_msg.end(), says);
  };
  std::set<std::uint32_t> ids;
  for (std::size_t number = 0; number < phase_count; ++number) {
    Phase& phase = phases_[number];
    auto& rules = set_->m_rulesSetPhases[static_cast<int>(number)]->m_rules;
    for (std::size_t i = 0; i < rules.size(); ++i) {
      if (i == setup_end[number]) phase.setup_end = phase.rules.size();
      auto* const actions = dynamic_cast<modsecurity::RuleWithActions*>(rules[i].get());
      if (actions != nullptr) {
        const auto id = static_cast<std::uint32_t>(actions->m_ruleId);
        ids.insert(id);
        if (removed(*actions)) continue;
        // A rule that looks at more than its text says, by SecRuleUpdateTargetBy..., is always run.
        if (exceptions.m_variable_update_target_by_id.contains(static_cast<double>(id)) ||
            !exceptions.m_variable_update_target_by_tag.empty() ||
            !exceptions.m_variable_update_target_by_msg.empty()) {
          facts_[id].needs = always_present;
        }
      }
      phase.rules.push_back(rules[i]);
    }
    if (setup_end[number] >= rules.size()) phase.setup_end = phase.rules.size();
  }
  if (!exceptions.m_action_pre_update_target_by_id.empty() || !exceptions.m_action_pos_update_target_by_id.empty() ||
      !exceptions.m_variable_update_target_by_tag.empty() || !exceptions.m_variable_update_target_by_msg.empty()) {
    texts_tell_all_ = false;
  }
  // An id that our parser alone has seen names no rule of libmodsecurity's; one that it has not seen is always run.
  std::erase_if(facts_, [&](const auto& entry) { return !ids.contains(entry.first); });
  for (const std::uint32_t id : ids) facts_.try_emplace(id);
}

const std::vector<seclang::Variable>& RuleFacts::variables() const noexcept {
  static const std::vector<seclang::Variable> none;
  return text.links.empty() ? none : text.links.front().variables;
}

std::unordered_map<std::uint32_t, RuleText> rule_texts(const seclang::Text& parsed) {
  std::unordered_map<std::uint32_t, RuleText> texts;
  std::uint32_t id = 0;
  bool chained = false;
  for (const seclang::Directive& directive : parsed.directives) {
    if (!is_rule(directive) && !is_action(directive)) continue;
    if (!std::exchange(chained, has_chain(directive.actions))) id = id_of(directive.actions);
    texts[id].links.push_back(link_of(directive));
  }
  return texts;
}

const RuleFacts* PlatformRules::facts(std::uint32_t id) const noexcept {
  const auto found = facts_.find(id);
  return found == facts_.end() ? nullptr : &found->second;
}

}  // namespace gatehouse::waf
