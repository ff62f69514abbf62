#include "waf/screen/program.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <set>
#include <utility>

#include "waf/library.hpp"
#include "waf/screen/screen.hpp"
#include "waf/seclang.hpp"
#include "waf/seclang_words.hpp"

namespace gatehouse::waf::screen {
namespace {

using seclang::equals_ignoring_case;
using seclang::lower_case;

struct VariableName {
  const char* name;
  Source source;
  bool names = false;
  std::optional<Element::Part> part = {};
};

constexpr VariableName variable_names[] = {
    {"ARGS", Source::args},
    {"ARGS_NAMES", Source::args, true},
    {"ARGS_GET", Source::args, false, Element::Part::query},
    {"ARGS_GET_NAMES", Source::args, true, Element::Part::query},
    {"ARGS_POST", Source::args, false, Element::Part::form},
    {"ARGS_POST_NAMES", Source::args, true, Element::Part::form},
    {"REQUEST_COOKIES", Source::cookies},
    {"REQUEST_COOKIES_NAMES", Source::cookies, true},
    {"REQUEST_HEADERS", Source::headers},
    {"REQUEST_HEADERS_NAMES", Source::headers, true},
    {"REQUEST_METHOD", Source::method},
    {"REQUEST_PROTOCOL", Source::protocol},
    {"REQUEST_LINE", Source::line},
    {"REQUEST_URI", Source::uri},
    {"REQUEST_URI_RAW", Source::uri_raw},
    {"QUERY_STRING", Source::query_string},
    {"REQUEST_FILENAME", Source::filename},
    {"REQUEST_BASENAME", Source::basename},
    {"PATH_INFO", Source::path_info},
    {"REMOTE_ADDR", Source::remote_addr},
    {"SERVER_NAME", Source::server_name},
    {"AUTH_TYPE", Source::auth_type},
    {"REQUEST_BODY", Source::body},
    {"REQUEST_BODY_LENGTH", Source::body_length},
    {"REQBODY_PROCESSOR", Source::body_processor},
    {"ARGS_COMBINED_SIZE", Source::combined_size},
    {"REQBODY_ERROR", Source::body_error},
    {"REQBODY_PROCESSOR_ERROR", Source::body_error},
    {"MULTIPART_STRICT_ERROR", Source::body_error},
    {"MULTIPART_UNMATCHED_BOUNDARY", Source::boundary_mark},
    {"INBOUND_DATA_ERROR", Source::data_error},
    {"URLENCODED_ERROR", Source::body_error},
    {"FILES_COMBINED_SIZE", Source::files_size},
    {"FILES", Source::files},
    {"FILES_NAMES", Source::files, true},
    {"FILES_SIZES", Source::file_sizes},
    {"FILES_TMP_CONTENT", Source::file_contents},
    {"MULTIPART_NAME", Source::part_names},
    {"MULTIPART_FILENAME", Source::part_file_names},
    {"MULTIPART_PART_HEADERS", Source::part_heads},
    {"RESPONSE_BODY", Source::response_body},
};

// Collections without an element in every request that is not a doubt.
constexpr const char* empty_variables[] = {"FILES_TMPNAMES"};

// What decides how a body is read is decided by waf/screen/reading.cpp, which knows these rules of ours.
constexpr std::uint32_t reading_rules[] = {200'000, 200'001, 200'006, 200'011};

const seclang::Action* action(const RuleLink& link, std::string_view name) {
  const auto found = std::ranges::find_if(link.actions, [&](const auto& a) { return a.name == name; });
  return found == link.actions.end() ? nullptr : &*found;
}

bool is_empty(const seclang::Variable& variable) {
  return std::ranges::any_of(empty_variables,
                             [&](const char* name) { return equals_ignoring_case(variable.name, name); });
}

bool has_macro(std::string_view text) { return text.find("%{") != std::string_view::npos; }

std::optional<Selector> selector_of(const seclang::Variable& variable) {
  const std::string upper = seclang::upper_case(variable.name);
  if (is_empty(variable)) return Selector{.source = Source::nothing, .count = variable.count};
  if (upper == "XML") {
    if (variable.selector == "/*") return Selector{.source = Source::xml_text, .count = variable.count};
    if (variable.selector == "//@*") return Selector{.source = Source::xml_attributes, .count = variable.count};
    return Selector{.source = Source::nothing, .count = variable.count};
  }
  const auto found =
      std::ranges::find_if(variable_names, [&](const VariableName& entry) { return upper == entry.name; });
  if (found == std::end(variable_names)) return std::nullopt;
  Selector selector{.source = found->source, .names = found->names, .count = variable.count, .part = found->part};
  if (!variable.has_selector) return selector;
  if (found->source > Source::last_collection || has_macro(variable.selector)) return std::nullopt;
  if (variable.regex) {
    selector.keys = Selector::Keys::pattern;
    selector.pattern = NamePattern::compile(variable.selector);
    if (!selector.pattern) return std::nullopt;
  } else {
    selector.keys = Selector::Keys::name;
    selector.name = lower_case(variable.selector);
  }
  return selector;
}

// Words of @pm: the library splits at blanks; what it does with quotes, escapes and "|41 42|" is its own affair.
std::optional<std::vector<std::string>> phrases_of(std::string_view argument) {
  if (argument.find_first_of("|\\\"'\t\r\n") != std::string_view::npos) return std::nullopt;
  std::vector<std::string> out;
  while (!argument.empty()) {
    const std::size_t end = std::min(argument.find(' '), argument.size());
    if (end > 0) out.emplace_back(argument.substr(0, end));
    argument.remove_prefix(std::min(end + 1, argument.size()));
  }
  return out;
}

// Lines of the file that the library reads for @pmFromFile: beside the rule's own file, or by a whole path.
std::optional<std::vector<std::string>> phrases_of_file(const std::string& argument,
                                                        const modsecurity::RuleWithOperator& rule) {
  if (argument.find(' ') != std::string::npos) return std::nullopt;
  const std::filesystem::path path = std::filesystem::path(*rule.getFileName()).parent_path() / argument;
  std::ifstream file(path);
  if (!file) return std::nullopt;
  std::vector<std::string> out;
  for (std::string line; std::getline(file, line);)
    if (!line.empty() && line[0] != '#') out.push_back(line);
  return out;
}

}  // namespace

bool Selector::takes(const Element& element) const noexcept {
  if (part && *part != element.part) return false;
  switch (keys) {
    case Keys::all: return true;
    case Keys::name: return equals_ignoring_case(element.name, name);
    case Keys::pattern: return pattern->matches(element.name);
  }
  return true;
}

bool Targets::excepts(const Selector& selector, const Element& element) const noexcept {
  return std::ranges::any_of(except, [&](const Selector& e) {
    return e.source == selector.source && e.names == selector.names && e.takes(element);
  });
}

class Program::Compiler {
  struct Setter {
    std::uint32_t rule = 0;
    std::string name;
    bool is_prefix = false;  // what follows is not known
  };

 public:
  Compiler(const std::vector<std::vector<Step>>& phases, bool allowed)
      : phases_(phases), allowed_(allowed), made_(new Program) {
    made_->nodes_.push_back({0, *Transformation::find("none")});
  }

  std::shared_ptr<const Program> run() {
    if (!PatternSet::supported()) return fail(0, "the processor cannot run Hyperscan");
    if (!allowed_) return fail(0, "the platform's files change what rules do");
    choose();
    if (made_->residual_.empty()) fold_rest();
    if (made_->residual_.empty()) compile_rules();
    if (made_->residual_.empty()) plan();
    return made_;
  }

 private:
  std::shared_ptr<const Program> fail(std::uint32_t rule, std::string why) {
    made_->residual_.push_back({rule, std::move(why)});
    return made_;
  }

  static bool is_reading_rule(std::uint32_t id) {
    return std::ranges::find(reading_rules, id) != std::end(reading_rules);
  }

  // Rules that look at the request are watched: the screen has to show that they do not match. The others are folded.
  void choose() {
    std::set<std::uint32_t> reading;
    rest_.resize(phases_.size());
    rest_steps_.resize(phases_.size());
    for (std::size_t phase = 0; phase < phases_.size(); ++phase) {
      for (const Step& step : phases_[phase]) {
        if (step.item.marker != nullptr || step.item.values != nullptr) {
          add_rest(phase, step);
          continue;
        }
        if (is_reading_rule(step.item.id)) {
          reading.insert(step.item.id);
          continue;
        }
        if (step.item.text == nullptr || step.item.text->links.empty() || step.looks_at_more) {
          fail(step.item.id, "it looks at more than its text says");
          continue;
        }
        const auto& variables = step.item.text->links.front().variables;
        if (!variables.empty() && std::ranges::all_of(variables, [](const auto& v) { return !v.count && is_empty(v); }))
          continue;
        const bool watched =
            std::ranges::any_of(variables, [](const auto& v) { return !equals_ignoring_case(v.name, "TX"); });
        if (watched)
          watched_.emplace_back(phase, &step);
        else
          add_rest(phase, step);
      }
    }
    for (const std::uint32_t id : reading_rules)
      if (!reading.contains(id)) fail(id, "rules that choose how a body is read were taken out");
  }

  void add_rest(std::size_t phase, const Step& step) {
    rest_[phase].push_back(step.item);
    rest_steps_[phase].push_back(&step);
  }

  // Rules of the rest that are heard of and not certain are to be shown not to match as well; without them more of the
  // rest may be certain.
  void fold_rest() {
    for (;;) {
      Folder folder(rest_, true);
      const auto decisions = folder.fold_running_through(modsecurity::RequestHeadersPhase);
      if (!folder.allowed()) {
        fail(0, "rules depend on which others were run");
        return;
      }
      if (watch_more(decisions)) continue;
      take(decisions);
      break;
    }
    for (const auto& [phase, step] : watched_)
      note_setters(step->item.id, *step->item.text, is_quiet(*step->item.text), tried_);
  }

  bool watch_more(const std::vector<std::vector<Folder::Decision>>& decisions) {
    bool any = false;
    for (std::size_t phase = 0; phase < rest_.size(); ++phase) {
      for (std::size_t i = rest_[phase].size(); i-- > 0;) {
        const Folder::Item& item = rest_[phase][i];
        if (item.marker != nullptr || item.values != nullptr || decisions[phase][i].action != Folder::Action::run)
          continue;
        if (item.text->links.front().variables.empty() || is_quiet(*item.text)) continue;
        watched_.emplace_back(phase, rest_steps_[phase][i]);
        rest_[phase].erase(rest_[phase].begin() + static_cast<std::ptrdiff_t>(i));
        rest_steps_[phase].erase(rest_steps_[phase].begin() + static_cast<std::ptrdiff_t>(i));
        any = true;
      }
    }
    return any;
  }

  void take(const std::vector<std::vector<Folder::Decision>>& decisions) {
    for (std::size_t phase = 0; phase < rest_.size(); ++phase) {
      for (std::size_t i = 0; i < rest_[phase].size(); ++i) {
        const Folder::Item& item = rest_[phase][i];
        const Folder::Decision& decision = decisions[phase][i];
        if (item.marker != nullptr) continue;
        if (item.values != nullptr || decision.action == Folder::Action::set) {
          for (const auto& [name, value] : item.values != nullptr ? *item.values : decision.values)
            note_value(name, value);
        } else if (decision.action == Folder::Action::run) {
          if (is_quiet(*item.text))
            note_setters(item.id, *item.text, true, setters_);
          else
            fail(item.id, "it acts on every request");
        }
      }
    }
  }

  void note_value(const std::string& name, const std::string& value) {
    const auto [place, is_new] = constants_.emplace(name, value);
    if (!is_new && place->second != value) setters_.push_back({.rule = 0, .name = name});
  }

  // True if nobody hears of the rule, whether it matches or not.
  static bool is_quiet(const RuleText& text) {
    static constexpr std::string_view quiet[] = {"id",       "phase", "pass",   "nolog",   "noauditlog",
                                                 "auditlog", "ver",   "rev",    "tag",     "msg",
                                                 "t",        "chain", "setvar", "capture", "logdata"};
    return action(text.links.front(), "pass") != nullptr && action(text.links.front(), "nolog") != nullptr &&
           std::ranges::all_of(text.links, [](const RuleLink& link) {
             return std::ranges::all_of(
                 link.actions, [](const auto& a) { return std::ranges::find(quiet, a.name) != std::end(quiet); });
           });
  }

  // What a rule sets while it is tried: all, or what it sets before it is known to match.
  static void note_setters(std::uint32_t id, const RuleText& text, bool may_match, std::vector<Setter>& to) {
    for (const RuleLink& link : text.links) {
      if (!may_match && &link == &text.links.back()) break;
      for (const auto& a : link.actions) {
        if (a.name != "setvar") continue;
        std::string name = lower_case(std::string_view(a.value).substr(0, a.value.find('=')));
        if (name.starts_with('!')) name.erase(0, 1);
        if (!name.starts_with("tx.") && !name.starts_with("tx:")) continue;
        name.erase(0, 3);
        const std::size_t macro = name.find("%{");
        to.push_back({.rule = id, .name = name.substr(0, macro), .is_prefix = macro != std::string::npos});
      }
    }
  }

  // TX:0 to TX:9 are whatever a capture has left there.
  static bool is_group(const std::string& name) { return name.size() == 1 && name[0] >= '0' && name[0] <= '9'; }

  static bool sets(const Setter& setter, const std::string& name) {
    return setter.is_prefix ? name.starts_with(setter.name) : name == setter.name;
  }
  // Of a pattern nobody knows what it has to do with a name of which only the beginning is known.
  static bool sets(const Setter& setter, const NamePattern& pattern) {
    return setter.is_prefix || pattern.matches(setter.name);
  }

  // The value is not the same in every request, and nothing that the screen notes tells it.
  [[nodiscard]] bool is_unseen(const auto& name_or_pattern) const {
    return std::ranges::any_of(setters_, [&](const Setter& s) { return sets(s, name_or_pattern); });
  }
  // A rule other than this one may set it while it is tried.
  [[nodiscard]] bool is_set_by_others(const auto& name_or_pattern, std::uint32_t rule) const {
    return std::ranges::any_of(tried_, [&](const Setter& s) { return s.rule != rule && sets(s, name_or_pattern); });
  }

  // The text with the values of TX that are the same in every request.
  [[nodiscard]] std::optional<std::string> resolved(std::string_view text) const {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      if (text.substr(at).starts_with("%{")) {
        const std::size_t close = text.find('}', at);
        if (close == std::string_view::npos) return std::nullopt;
        const std::string inside = lower_case(text.substr(at + 2, close - at - 2));
        if (!inside.starts_with("tx.") && !inside.starts_with("tx:")) return std::nullopt;
        const std::string name = inside.substr(3);
        const auto sets_it = [&](const Setter& s) { return sets(s, name); };
        if (is_group(name) || is_unseen(name) || std::ranges::any_of(tried_, sets_it)) return std::nullopt;
        if (const auto found = constants_.find(name); found != constants_.end()) out += found->second;
        at = close + 1;
      } else if (text[at] == '\\' || text[at] == '%') {
        return std::nullopt;
      } else {
        out += text[at++];
      }
    }
    return out;
  }

  void compile_rules() {
    find_counters();
    for (const auto& [phase, step] : watched_) {
      if (phase < modsecurity::RequestHeadersPhase) {
        fail(step->item.id, "it runs before the request's head is known");
        continue;
      }
      Rule rule{.id = step->item.id,
                .in_body_phase = phase >= modsecurity::RequestBodyPhase,
                .is_quiet = phase <= modsecurity::RequestBodyPhase && is_quiet(*step->item.text)};
      texts_.push_back(step->item.text);
      modsecurity::RuleWithActions* part = step->rule;
      for (const RuleLink& link : step->item.text->links) {
        auto* const with_operator = dynamic_cast<modsecurity::RuleWithOperator*>(part);
        rule.links.push_back(compile_link(rule, link, with_operator, step->item.text->links));
        part = part != nullptr ? part->m_chainedRuleChild.get() : nullptr;
      }
      if (phase > modsecurity::RequestBodyPhase) {
        if (may_match_in_answers(rule)) fail(rule.id, "it looks at answers");
        if (depends_on_others(rule)) made_->last_.push_back(std::move(rule));
        texts_.pop_back();
        continue;
      }
      made_->rules_.push_back(std::move(rule));
    }
  }

  // Of one phase, and not named by macros. Constants and steps alone: what is added to must be a number.
  void find_counters() {
    std::map<std::string, std::set<std::size_t>> phases;
    std::set<std::string> others;
    for (const auto& [phase, step] : watched_) {
      const bool quiet = phase <= modsecurity::RequestBodyPhase && is_quiet(*step->item.text);
      for (const RuleLink& link : step->item.text->links)
        for (const auto& a : link.actions) {
          if (a.name != "setvar") continue;
          const auto made = assignment_of(a.value);
          if (!made) continue;
          const bool plain = made->step || (made->value && !has_macro(*made->value));
          phases[made->name].insert(phase);
          if (!quiet || !plain) others.insert(made->name);
        }
    }
    for (const auto& [name, in] : phases) {
      const auto sets_it = [&](const Setter& s) { return s.is_prefix && name.starts_with(s.name); };
      if (in.size() != 1 || others.contains(name) || has_macro(name) || is_unseen(name) ||
          std::ranges::any_of(tried_, sets_it))
        continue;
      const auto first = constants_.find(name);
      std::optional<int> value;
      if (first != constants_.end()) {
        int number = 0;
        const std::string& text = first->second;
        const auto end = text.data() + text.size();
        if (text.empty() || std::from_chars(text.data(), end, number).ptr != end) continue;
        value = number;
      }
      made_->counters_[name] = value;
    }
  }

  static bool depends_on_others(const Rule& rule) {
    return std::ranges::any_of(rule.links, [](const Link& link) {
      return std::ranges::any_of(link.targets.tx, [](const TxTarget& t) { return t.is_set_by_others; });
    });
  }

  // What a rule behind the request's phases finds in TX is the same in every request, but for what the screen notes;
  // answers' bodies are not there as long as they are not inspected.
  bool may_match_in_answers(const Rule& rule) {
    Reading nothing;
    return Screen(*made_).may_match(nothing, rule);
  }

  Link compile_link(const Rule& in, const RuleLink& text, modsecurity::RuleWithOperator* rule,
                    const std::vector<RuleLink>& chain) {
    Link link{.rule = rule};
    bool known = rule != nullptr || text.variables.empty();
    for (const seclang::Variable& variable : text.variables) {
      const std::string upper = seclang::upper_case(variable.name);
      if (upper == "TX") {
        known = known && !variable.exclude && variable.has_selector && add_tx(link.targets, variable, in.id);
        continue;
      }
      const auto selector = selector_of(variable);
      if (!selector) {
        known = known && variable.exclude;
        continue;
      }
      made_->looks_into_xml_ = made_->looks_into_xml_ || (upper == "XML" && selector->source == Source::nothing);
      (variable.exclude ? link.targets.except : link.targets.of).push_back(*selector);
    }
    for (const seclang::Action& a : text.actions) {
      if (a.name == "multimatch") link.multi_match = true;
      if (a.name != "t") continue;
      const auto transformation = Transformation::find(a.value);
      if (!transformation) {
        known = false;
      } else if (transformation->is_none()) {
        link.transformations.clear();
      } else {
        link.transformations.push_back(*transformation);
      }
    }
    // Whether such a variable is empty or "0" is not known.
    const auto is_flag = [](const Selector& s) { return s.source == Source::body_error && !s.count; };
    known = known && (std::ranges::none_of(link.targets.of, is_flag) || compares_numbers(text.op.name));
    const bool is_last = &text == &chain.back();
    for (const seclang::Action& a : text.actions) {
      if ((is_last && !in.is_quiet) || a.name != "setvar") continue;
      // What later links do not look at is nothing to the screen: if the rule matches, the request is the library's, and
      // if it does not, a variable that others read makes them unknown (varies()).
      if (auto assignment = assignment_of(a.value)) link.assignments.push_back(std::move(*assignment));
    }
    link.op =
        known ? compile_operator(text, !link.assignments.empty() || action(text, "capture") != nullptr) : Operator{};
    if (!known) link.op.kind = Operator::Kind::unknown;
    return link;
  }

  static bool compares_numbers(std::string_view name) {
    static constexpr std::string_view all[] = {"eq", "ge", "gt", "le", "lt"};
    return std::ranges::any_of(all, [&](std::string_view one) { return equals_ignoring_case(name, one); });
  }

  bool add_tx(Targets& targets, const seclang::Variable& variable, std::uint32_t rule) const {
    if (has_macro(variable.selector)) return false;
    TxTarget target{.count = variable.count};
    if (variable.regex) {
      target.pattern = NamePattern::compile(variable.selector);
      if (!target.pattern) return false;
      for (const auto& [name, value] : constants_)
        if (target.pattern->matches(name)) target.constants.push_back(value);
      target.is_unseen = is_unseen(*target.pattern);
      target.is_set_by_others = is_set_by_others(*target.pattern, rule);
    } else {
      target.name = lower_case(variable.selector);
      if (const auto found = constants_.find(target.name); found != constants_.end())
        target.constants.push_back(found->second);
      target.is_unseen = is_unseen(target.name);
      target.is_set_by_others = is_group(target.name) || is_set_by_others(target.name, rule);
    }
    targets.tx.push_back(std::move(target));
    return true;
  }

  static std::optional<Assignment> assignment_of(std::string_view text) {
    const std::size_t equals = text.find('=');
    std::string name = lower_case(text.substr(0, equals));
    if (name.starts_with('!')) name.erase(0, 1);
    if (!name.starts_with("tx.") && !name.starts_with("tx:")) return std::nullopt;
    Assignment made{.name = name.substr(3), .value = std::nullopt};
    const std::string_view value = equals == std::string_view::npos ? "" : text.substr(equals + 1);
    if (value.empty() || text.starts_with('!')) return made;
    if (value[0] != '+' && value[0] != '-') {
      made.value = value;
    } else if (int step = 0; std::from_chars(value.data() + 1, value.data() + value.size(), step).ptr ==
                                 value.data() + value.size() &&
                             value.size() > 1) {
      made.step = value[0] == '+' ? step : -step;
    }
    return made;
  }

  Operator compile_operator(const RuleLink& text, bool wants_groups) const {
    Operator op{.negated = text.op.negated};
    const std::string name = lower_case(text.op.name);
    if (!has_macro(text.op.argument)) {
      static constexpr std::string_view pure[] = {"rx",
                                                  "pm",
                                                  "pmfromfile",
                                                  "pmf",
                                                  "detectsqli",
                                                  "detectxss",
                                                  "validatebyterange",
                                                  "validateurlencoding",
                                                  "validateutf8encoding",
                                                  "ipmatch",
                                                  "streq",
                                                  "contains",
                                                  "within",
                                                  "beginswith",
                                                  "endswith",
                                                  "eq",
                                                  "ge",
                                                  "gt",
                                                  "le",
                                                  "lt",
                                                  "unconditionalmatch",
                                                  "containsword",
                                                  "strmatch"};
      if (std::ranges::find(pure, name) == std::end(pure)) return op;
      if (name == "rx" && wants_groups && !op.negated) {
        op.pattern = Pattern::compile(text.op.argument);
        if (op.pattern) op.kind = Operator::Kind::pattern;
        return op;
      }
      op.kind = Operator::Kind::library;
      return op;
    }
    static constexpr std::pair<std::string_view, Operator::Kind> ours[] = {{"rx", Operator::Kind::pattern},
                                                                           {"within", Operator::Kind::within},
                                                                           {"streq", Operator::Kind::streq},
                                                                           {"contains", Operator::Kind::contains},
                                                                           {"beginswith", Operator::Kind::begins_with},
                                                                           {"endswith", Operator::Kind::ends_with},
                                                                           {"eq", Operator::Kind::eq},
                                                                           {"ge", Operator::Kind::ge},
                                                                           {"gt", Operator::Kind::gt},
                                                                           {"le", Operator::Kind::le},
                                                                           {"lt", Operator::Kind::lt}};
    const auto found = std::ranges::find_if(ours, [&](const auto& entry) { return entry.first == name; });
    const auto argument = resolved(text.op.argument);
    if (found == std::end(ours) || !argument) return op;
    op.argument = *argument;
    if (found->second == Operator::Kind::pattern) {
      op.pattern = Pattern::compile(op.argument);
      if (!op.pattern) return op;
    }
    op.kind = found->second;
    return op;
  }

  // The node of a chain of transformations; it and those before it are made if need be. Empty if there are too many.
  std::optional<std::uint8_t> node_of(const std::vector<std::string>& chain) {
    std::uint8_t at = 0;
    for (const std::string& name : chain) {
      const auto [place, is_new] = children_.try_emplace({at, name}, 0);
      if (is_new) {
        if (made_->nodes_.size() == max_nodes) return std::nullopt;
        place->second = static_cast<std::uint8_t>(made_->nodes_.size());
        made_->nodes_.push_back({at, *Transformation::find(name)});
      }
      at = place->second;
    }
    return at;
  }

  // Transformations of a link, by name.
  static std::vector<std::string> chain_of(const RuleLink& link) {
    std::vector<std::string> chain;
    for (const seclang::Action& a : link.actions) {
      if (a.name != "t") continue;
      if (equals_ignoring_case(a.value, "none"))
        chain.clear();
      else
        chain.push_back(lower_case(a.value));
    }
    return chain;
  }

  // What the expressions of a rule's first link are, if a set can hold them all.
  std::optional<std::vector<PatternSet::Entry>> entries_of(const RuleLink& link, const Link& made) const {
    const std::string name = lower_case(link.op.name);
    std::vector<PatternSet::Entry> entries;
    if (name == "rx") {
      entries.push_back({.text = link.op.argument});
    } else if (name == "pm" || name == "pmfromfile" || name == "pmf") {
      const auto phrases = name == "pm" ? phrases_of(link.op.argument) : phrases_of_file(link.op.argument, *made.rule);
      if (!phrases) return std::nullopt;
      for (const std::string& phrase : *phrases) entries.push_back({.text = phrase, .is_phrase = true});
    } else {
      return std::nullopt;
    }
    if (!std::ranges::all_of(entries, PatternSet::can_hold)) return std::nullopt;
    return entries;
  }

  void plan() {
    std::vector<std::vector<PatternSet::Entry>> entries(made_->rules_.size());
    std::vector<std::uint8_t> asks(made_->rules_.size());  // libinjection: 1 for SQL, 2 for XSS
    for (std::size_t i = 0; i < made_->rules_.size(); ++i) {
      Rule& rule = made_->rules_[i];
      const RuleLink& text = texts_[i]->links.front();
      const Link& first = rule.links.front();
      const std::string name = lower_case(text.op.name);
      const bool on_values = !first.targets.of.empty() && first.targets.tx.empty() &&
                             std::ranges::none_of(first.targets.of, [](const Selector& s) { return s.count; });
      const bool positive =
          !text.op.negated && !has_macro(text.op.argument) && first.op.kind != Operator::Kind::unknown;
      const auto index = static_cast<std::uint16_t>(i);
      auto& others = made_->others_[rule.in_body_phase ? 1 : 0];
      if (depends_on_others(rule)) {
        made_->last_.push_back(rule);  // when all that others set is known
        for (const Link& link : rule.links)
          for (const Assignment& assignment : link.assignments) made_->counters_.erase(assignment.name);
        continue;
      }
      if (rule.is_quiet || !on_values || !positive || !place(rule, text)) {
        others.push_back(index);
        continue;
      }
      if (name == "detectsqli" || name == "detectxss") {
        asks[i] = name == "detectsqli" ? 1 : 2;
        continue;
      }
      auto found = entries_of(text, first);
      if (!found) {
        others.push_back(index);
        continue;
      }
      for (PatternSet::Entry& entry : *found) {
        entry.id = static_cast<std::uint32_t>(made_->rule_of_id_.size());
        made_->rule_of_id_.push_back(index);
      }
      entries[i] = std::move(*found);
    }

    // The names of header fields that rules single out.
    for (const Rule& rule : made_->rules_) {
      for (const auto* const list : {&rule.links.front().targets.of, &rule.links.front().targets.except})
        for (const Selector& s : *list)
          if (s.source == Source::headers && s.keys == Selector::Keys::name) made_->header_plans_[s.name];
    }
    const auto fill = [&](Plan& plan, const auto& looks) {
      std::vector<PatternSet::Entry> all;
      Nodes nodes;
      for (std::size_t i = 0; i < made_->rules_.size(); ++i) {
        const Rule& rule = made_->rules_[i];
        if ((entries[i].empty() && asks[i] == 0) || !looks(rule.links.front().targets)) continue;
        nodes |= rule.nodes;
        all.insert(all.end(), entries[i].begin(), entries[i].end());
        if (asks[i] != 0) plan.injections.push_back({.rule = static_cast<std::uint16_t>(i), .is_xss = asks[i] == 2});
      }
      for (std::size_t node = made_->nodes_.size(); node-- > 1;)
        if (nodes[node]) nodes.set(made_->nodes_[node].parent);
      for (std::size_t node = 1; node < made_->nodes_.size(); ++node)
        if (nodes[node]) plan.nodes.push_back(static_cast<std::uint8_t>(node));
      if (all.empty()) return;
      plan.patterns = PatternSet::make(all);
      if (!plan.patterns) fail(0, "Hyperscan cannot compile the patterns");
    };
    const auto looks_at = [](Source source, std::optional<bool> names, std::string_view name) {
      return [=](const Targets& targets) {
        return std::ranges::any_of(targets.of, [&](const Selector& s) {
          if (s.source != source || (names && s.names != *names)) return false;
          const Element element{.name = name};
          if (name.empty()) return true;
          return s.takes(element) && !(s.keys == Selector::Keys::all && targets.excepts(s, element));
        });
      };
    };
    for (const Source source :
         {Source::args, Source::cookies, Source::files, Source::file_sizes, Source::file_contents, Source::part_names,
          Source::part_file_names, Source::part_heads, Source::xml_text, Source::xml_attributes}) {
      auto& plans = made_->collection_plans_[static_cast<std::size_t>(source)];
      fill(plans.names, looks_at(source, true, {}));
      fill(plans.values, looks_at(source, false, {}));
    }
    auto& headers = made_->collection_plans_[static_cast<std::size_t>(Source::headers)];
    fill(headers.names, looks_at(Source::headers, true, {}));
    // Of a field that no rule names: those that look at all fields, or at names by a pattern.
    fill(headers.values, [](const Targets& targets) {
      return std::ranges::any_of(targets.of, [](const Selector& s) {
        return s.source == Source::headers && !s.names && s.keys != Selector::Keys::name;
      });
    });
    for (auto& [name, plan] : made_->header_plans_) fill(plan, looks_at(Source::headers, false, name));
    for (std::size_t source = static_cast<std::size_t>(Source::last_collection) + 1;
         source < made_->scalar_plans_.size(); ++source)
      fill(made_->scalar_plans_[source], looks_at(static_cast<Source>(source), std::nullopt, {}));
  }

  // Finds the rule's nodes. With multiMatch a text is looked at after every step, else after the last one.
  bool place(Rule& rule, const RuleLink& text) {
    std::vector<std::string> chain = chain_of(text);
    const auto node = node_of(chain);
    if (!node) return false;
    rule.nodes.set(*node);
    while (rule.links.front().multi_match && !chain.empty()) {
      chain.pop_back();
      rule.nodes.set(*node_of(chain));
    }
    return true;
  }

  const std::vector<std::vector<Step>>& phases_;
  bool allowed_;
  std::shared_ptr<Program> made_;
  std::vector<std::vector<Folder::Item>> rest_;
  std::vector<std::vector<const Step*>> rest_steps_;  // the same
  std::vector<std::pair<std::size_t, const Step*>> watched_;
  std::vector<const RuleText*> texts_;  // of the rules that were made
  std::map<std::string, std::string> constants_;
  std::vector<Setter> setters_;  // by rules that run unseen
  std::vector<Setter> tried_;  // by rules that are tried: the screen notes what they set
  std::map<std::pair<std::uint8_t, std::string>, std::uint8_t> children_;
};

std::shared_ptr<const Program> Program::compile(const std::vector<std::vector<Step>>& phases, bool allowed) {
  return Compiler(phases, allowed).run();
}

}  // namespace gatehouse::waf::screen
