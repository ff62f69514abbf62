#include "waf/screen/screen.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <utility>

#include "waf/seclang.hpp"

extern "C" {
int libinjection_sqli(const char* text, std::size_t size, char fingerprint[]);
int libinjection_xss(const char* text, std::size_t size);
}

namespace gatehouse::waf::screen {
namespace {

using seclang::equals_ignoring_case;

constexpr Source of_bodies[] = {Source::files,      Source::file_sizes,      Source::file_contents,
                                Source::part_names, Source::part_file_names, Source::part_heads,
                                Source::xml_text,   Source::xml_attributes};

// As the library reads numbers: std::stoi, of which any failure is 0, for eq, atoll for the others.
int as_int(std::string_view text) noexcept {
  try {
    return std::stoi(std::string(text));
  } catch (...) {
    return 0;
  }
}
long long as_long(std::string_view text) noexcept { return std::atoll(std::string(text).c_str()); }

}  // namespace

bool Screen::passes_head(Reading& reading) {
  reading_ = &reading;
  doubtful_rule_ = 0;
  set_by_all_.clear();
  if (!program_->decides() || reading.doubt() != Doubt::none) return false;
  for (const Source source : {Source::args, Source::cookies, Source::headers})
    for (const Element& element : reading.elements(source))
      if (!passes_element(source, element)) return false;
  arguments_seen_ = reading.elements(Source::args).size();
  for (std::size_t source = static_cast<std::size_t>(Source::last_collection) + 1;
       source < static_cast<std::size_t>(Source::response_status); ++source)
    if (static_cast<Source>(source) != Source::body && static_cast<Source>(source) != Source::body_length &&
        !passes_scalar(static_cast<Source>(source)))
      return false;
  return none_matches(program_->others_[0]) && none_of_last_matches(false);
}

bool Screen::none_matches(std::span<const std::uint16_t> rules) {
  for (const std::uint16_t index : rules)
    if (const Rule& rule = program_->rules_[index]; may_match(rule)) return doubt(rule.id);
  return true;
}

bool Screen::none_of_last_matches(bool of_body_phase) {
  for (const Rule& rule : program_->last_)
    if ((of_body_phase || !rule.in_body_phase) && may_match(rule)) return doubt(rule.id);
  return true;
}

bool Screen::passes_body(Reading& reading) {
  reading_ = &reading;
  if (program_->looks_into_xml_ && reading.is_xml()) reading.doubt(Doubt::xml);
  if (reading.doubt() != Doubt::none) return false;
  const auto arguments = reading.elements(Source::args);
  for (std::size_t i = arguments_seen_; i < arguments.size(); ++i)
    if (!passes_element(Source::args, arguments[i])) return false;
  for (const Source source : of_bodies)
    for (const Element& element : reading.elements(source))
      if (!passes_element(source, element)) return false;
  for (const Source source : {Source::body, Source::body_length, Source::combined_size, Source::files_size,
                              Source::data_error, Source::boundary_mark})
    if (!passes_scalar(source)) return false;
  return none_matches(program_->others_[1]) && none_of_last_matches(true);
}

bool Screen::passes_element(Source source, const Element& element) {
  const auto& plans = program_->collection_plans_[static_cast<std::size_t>(source)];
  const Plan* values = &plans.values;
  if (source == Source::headers && !program_->header_plans_.empty()) {
    char name[64];
    if (element.name.size() <= sizeof name) {
      std::ranges::transform(element.name, name,
                             [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
      const auto found = program_->header_plans_.find(std::string_view(name, element.name.size()));
      if (found != program_->header_plans_.end()) values = &found->second;
    }
  }
  return passes(*values, element.value, source, false, &element) &&
         passes(plans.names, element.name, source, true, &element);
}

bool Screen::passes_scalar(Source source) {
  return passes(program_->scalar_plans_[static_cast<std::size_t>(source)], reading_->scalar(source), source, false,
                nullptr);
}

// Every text that the plan's transformations make of the value, each once, with the nodes behind which it is that text.
bool Screen::passes(const Plan& plan, std::string_view value, Source source, bool names, const Element* element) {
  if (!plan.patterns && plan.injections.empty()) return true;
  seen_.clear();
  seen_.push_back({{value, traits_of(value)}, {}});
  seen_[0].nodes.set(0);
  text_of_node_[0] = 0;
  for (const std::uint8_t number : plan.nodes) {
    const Node& node = program_->nodes_[number];
    std::uint8_t at = text_of_node_[node.parent];
    if (!node.transformation.keeps(seen_[at].text.traits)) {
      const Text made = node.transformation.apply(seen_[at].text, reading_->arena());
      const auto found = std::ranges::find_if(seen_, [&](const Seen& seen) { return seen.text.bytes == made.bytes; });
      at = static_cast<std::uint8_t>(found - seen_.begin());
      if (found == seen_.end()) seen_.push_back({made, {}});
    }
    text_of_node_[number] = at;
    seen_[at].nodes.set(number);
  }
  for (const Seen& seen : seen_) {
    if (plan.patterns) {
      ids_.clear();
      if (!plan.patterns->scan(seen.text.bytes, ids_)) return doubt(0);
      for (const std::uint32_t id : ids_) {
        const Rule& rule = program_->rules_[program_->rule_of_id_[id]];
        if ((rule.nodes & seen.nodes).none() || !takes(rule, source, names, element)) continue;
        if (confirm(rule, seen) && may_match(rule)) return doubt(rule.id);
      }
    }
    for (const Injection& injection : plan.injections) {
      const Rule& rule = program_->rules_[injection.rule];
      if ((rule.nodes & seen.nodes).none() || !takes(rule, source, names, element)) continue;
      char fingerprint[8];
      const int found = injection.is_xss
                            ? libinjection_xss(seen.text.bytes.data(), seen.text.bytes.size())
                            : libinjection_sqli(seen.text.bytes.data(), seen.text.bytes.size(), fingerprint);
      if (found != 0 && may_match(rule)) return doubt(rule.id);
    }
  }
  return true;
}

bool Screen::takes(const Rule& rule, Source source, bool names, const Element* element) const {
  const Targets& targets = rule.links.front().targets;
  return std::ranges::any_of(targets.of, [&](const Selector& s) {
    if (s.source != source || (element != nullptr && s.names != names)) return false;
    return element == nullptr ||
           (s.takes(*element) && !(s.keys == Selector::Keys::all && targets.excepts(s, *element)));
  });
}

// What the set has found may be more than what matches.
bool Screen::confirm(const Rule& rule, const Seen& seen) {
  const Link& link = rule.links.front();
  if (link.op.pattern) return link.op.pattern->match(seen.text.bytes) != Pattern::Result::no;
  return link.rule->executeOperatorAt(nullptr, {}, std::string(seen.text.bytes), nullptr);
}

bool Screen::may_match(const Rule& rule) {
  locals_.clear();
  for (const Link& link : rule.links)
    if (!may_match(link, rule.is_quiet || &link != &rule.links.back())) return false;
  return !rule.is_quiet;
}

bool Screen::may_match(const Link& link, bool notes) {
  if (link.op.kind == Operator::Kind::unknown) {
    // Whatever it would have set is not known.
    if (notes)
      for (const Assignment& assignment : link.assignments) set_unknown(assignment, std::nullopt);
    return true;
  }
  unsigned matches = 0;
  bool certain = true;
  const auto look = [&](std::string_view name, std::string_view value) {
    Text text{value, traits_of(value)};
    const auto look_at = [&] {
      const Answer answer = ask(link, name, text.bytes);
      if (answer == Answer::no) return;
      ++matches;
      certain = certain && answer == Answer::yes;
      if (notes) note(link, text.bytes, answer == Answer::yes);
    };
    if (link.multi_match) look_at();
    for (const Transformation& transformation : link.transformations) {
      const Text made = transformation.apply(text, reading_->arena());
      const bool changed = made.bytes.data() != text.bytes.data() || made.bytes.size() != text.bytes.size();
      text = made;
      if (link.multi_match && changed) look_at();
    }
    if (!link.multi_match) look_at();
  };
  for (const Selector& selector : link.targets.of) {
    if (selector.source > Source::last_collection) {
      look({}, selector.count ? std::string_view("1") : reading_->scalar(selector.source));
      continue;
    }
    std::size_t count = 0;
    for (const Element& element : reading_->elements(selector.source)) {
      if (!selector.takes(element)) continue;
      if (selector.count) {
        ++count;
        continue;
      }
      if (selector.keys == Selector::Keys::all && link.targets.excepts(selector, element)) continue;
      look(element.name, selector.names ? element.name : element.value);
    }
    if (selector.count) look({}, reading_->arena().keep(std::to_string(count)));
  }
  for (const TxTarget& target : link.targets.tx) {
    const auto is_meant = [&](const Local& local) {
      if (local.is_prefix) return target.pattern || target.name.starts_with(local.name);
      return target.pattern ? target.pattern->matches(local.name) : local.name == target.name;
    };
    const auto own = static_cast<std::size_t>(std::ranges::count_if(locals_, is_meant));
    const bool own_certain =
        std::ranges::none_of(locals_, [&](const Local& local) { return is_meant(local) && !local.certain; });
    const bool others_may_set_it = target.is_set_by_others && (target.pattern || own == 0);
    const bool others_certain = !others_may_set_it || std::ranges::none_of(set_by_all_, [&](const Local& local) {
      return is_meant(local) && (target.count || !local.certain);
    });
    if (!own_certain || target.is_unseen || !others_certain) {
      ++matches;
      certain = false;
      continue;
    }
    if (others_may_set_it) {
      // Which of these it is, or whether it still is, nobody knows.
      const std::vector<Local> noted = set_by_all_;
      for (const Local& local : noted) {
        if (!is_meant(local)) continue;
        const unsigned before = matches;
        look(local.name, reading_->arena().keep(local.value));
        if (matches != before) certain = false;
      }
    }
    const bool constants_count = target.pattern || own == 0;
    if (target.count) {
      const std::size_t count =
          (target.pattern ? own : std::min<std::size_t>(own, 1)) + (constants_count ? target.constants.size() : 0);
      look({}, reading_->arena().keep(std::to_string(count)));
      continue;
    }
    const std::vector<Local> before = locals_;  // what is looked at may set more
    for (const Local& local : before)
      if (is_meant(local)) look(local.name, reading_->arena().keep(local.value));
    if (!constants_count) continue;
    for (const std::string& constant : target.constants) look({}, constant);
  }
  if (matches > 1 && notes) {
    // Which of several values an assignment has kept depends on the order in which the library looks at them.
    for (Local& local : locals_)
      if (std::ranges::count_if(
              locals_, [&](const Local& other) { return other.name == local.name && other.value != local.value; }) > 0)
        local.certain = false;
  }
  return matches > 0;
}

Screen::Answer Screen::ask(const Link& link, std::string_view name, std::string_view text) {
  const Operator& op = link.op;
  const auto answer = [&](bool matches) { return matches != op.negated ? Answer::yes : Answer::no; };
  switch (op.kind) {
    case Operator::Kind::unknown: return Answer::unknown;
    case Operator::Kind::library:
      return link.rule->executeOperatorAt(nullptr, std::string(name), std::string(text), nullptr) ? Answer::yes
                                                                                                  : Answer::no;
    case Operator::Kind::pattern:
      switch (op.pattern->match(text, &groups_)) {
        case Pattern::Result::no: return answer(false);
        case Pattern::Result::yes: return answer(true);
        case Pattern::Result::unknown: return Answer::unknown;
      }
      return Answer::unknown;
    case Operator::Kind::within: return answer(text.empty() || op.argument.find(text) != std::string::npos);
    case Operator::Kind::streq: return answer(text == op.argument);
    case Operator::Kind::contains: return answer(text.find(op.argument) != std::string_view::npos);
    case Operator::Kind::begins_with: return answer(text.starts_with(op.argument));
    case Operator::Kind::ends_with: return answer(text.ends_with(op.argument));
    case Operator::Kind::eq: return answer(as_int(text) == as_int(op.argument));
    case Operator::Kind::ge: return answer(as_long(text) >= as_long(op.argument));
    case Operator::Kind::gt: return answer(as_long(text) > as_long(op.argument));
    case Operator::Kind::le: return answer(as_long(text) <= as_long(op.argument));
    case Operator::Kind::lt: return answer(as_long(text) < as_long(op.argument));
  }
  return Answer::unknown;
}

void Screen::note(const Link& link, std::string_view matched, bool certain) {
  if (link.op.kind == Operator::Kind::pattern && !link.op.negated && certain) {
    for (std::size_t group = 0; group < groups_.size(); ++group) {
      std::string name(1, static_cast<char>('0' + group));
      std::erase_if(locals_, [&](const Local& local) { return local.name == name; });
      set_local(std::move(name), std::string(groups_[group]), groups_[group].data() != nullptr);
    }
  }
  for (const Assignment& assignment : link.assignments) {
    const auto expand = [&](std::string_view text) -> std::optional<std::string> {
      std::string out;
      for (std::size_t at = 0; at < text.size();) {
        if (!text.substr(at).starts_with("%{")) {
          if (text[at] == '%' || text[at] == '\\') return std::nullopt;
          out += text[at++];
          continue;
        }
        const std::size_t close = text.find('}', at);
        if (close == std::string_view::npos) return std::nullopt;
        const std::string inside = seclang::lower_case(text.substr(at + 2, close - at - 2));
        at = close + 1;
        if (inside == "matched_var") {
          out += matched;
          continue;
        }
        const std::string name =
            inside.starts_with("tx.") || inside.starts_with("tx:") ? inside.substr(3) : std::string{};
        const auto found = std::ranges::find_if(locals_, [&](const Local& local) { return local.name == name; });
        if (program_->counters_.contains(name)) {
          const auto number = counter(name);
          if (!number) return std::nullopt;
          out += std::to_string(*number);
        } else if (name.empty() || found == locals_.end() || !found->certain) {
          return std::nullopt;
        } else {
          out += found->value;
        }
      }
      return out;
    };
    const auto name = certain ? expand(assignment.name) : std::nullopt;
    auto value = certain && assignment.value ? expand(*assignment.value) : std::nullopt;
    if (certain && assignment.step && name && program_->counters_.contains(*name))
      value = add_to(*name, *assignment.step);
    if (name)
      set_local(seclang::lower_case(*name), value.value_or(std::string{}), value.has_value());
    else
      set_unknown(assignment, value);
  }
}

// Empty: it is not known, or not there.
std::optional<int> Screen::counter(const std::string& name) const {
  const auto is_it = [&](const Local& local) { return local.name == name; };
  const auto last = std::ranges::find_if(set_by_all_.rbegin(), set_by_all_.rend(), is_it);
  if (last == set_by_all_.rend()) return program_->counters_.find(name)->second;
  return last->certain ? std::optional(as_int(last->value)) : std::nullopt;
}

std::optional<std::string> Screen::add_to(const std::string& name, int step) const {
  const auto is_it = [&](const Local& local) { return local.name == name; };
  const auto before = counter(name);
  if (!before && std::ranges::any_of(set_by_all_, is_it)) return std::nullopt;
  return std::to_string(before.value_or(0) + step);
}

// An assignment of which not even the name is certain, if it has a macro in it.
void Screen::set_unknown(const Assignment& assignment, const std::optional<std::string>& value) {
  const std::size_t macro = assignment.name.find("%{");
  set_local(assignment.name.substr(0, macro), value.value_or(std::string{}), value.has_value(),
            macro != std::string::npos);
}

void Screen::set_local(std::string name, std::string value, bool certain, bool is_prefix) {
  const bool is_group = name.size() == 1 && name[0] >= '0' && name[0] <= '9';  // which rules set that nobody notes
  set_by_all_.push_back({.name = name, .value = value, .certain = certain && !is_group, .is_prefix = is_prefix});
  locals_.push_back({std::move(name), std::move(value), certain, is_prefix});
}

}  // namespace gatehouse::waf::screen
