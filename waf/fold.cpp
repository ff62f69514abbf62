#include "waf/fold.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace gatehouse::waf {
namespace {

using seclang::equals_ignoring_case;
using seclang::lower_case;

bool has(const RuleLink& link, std::string_view name) {
  return std::any_of(link.actions.begin(), link.actions.end(), [&](const auto& action) { return action.name == name; });
}

// A number whose reading does not depend on which of the library's ways is taken (stoi for eq, atoll for others).
std::optional<long> plain_number(std::string_view text) {
  if (text.empty() || text.size() > 9) return std::nullopt;
  long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::optional<bool> compare(std::string_view op, long value, long argument) {
  if (equals_ignoring_case(op, "eq")) return value == argument;
  if (equals_ignoring_case(op, "ge")) return value >= argument;
  if (equals_ignoring_case(op, "gt")) return value > argument;
  if (equals_ignoring_case(op, "le")) return value <= argument;
  if (equals_ignoring_case(op, "lt")) return value < argument;
  return std::nullopt;
}

// Values that grow beyond these are left to the run time, which has its own bound (waf/rule_hooks.hpp): a few lines that
// double a value are enough to fill the memory.
constexpr std::size_t max_value_bytes = std::size_t{4} * 1024;
constexpr std::size_t max_known_bytes = std::size_t{64} * 1024;  // in all, names with their values

bool mentions_matched_var(std::string_view text) { return lower_case(text).find("%{matched_") != std::string::npos; }

// "tx.name=value", "!tx.name", "tx.name". Other collections have no name here.
struct SetVar {
  std::string name;  // lower case; with macros as written
  std::string value;
  bool unset = false;
  bool arithmetic = false;
};

std::optional<SetVar> tx_variable(std::string_view text) {
  SetVar out;
  if (text.starts_with('!')) {
    out.unset = true;
    text.remove_prefix(1);
  }
  if (text.size() < 4 || lower_case(text.substr(0, 2)) != "tx" || (text[2] != '.' && text[2] != ':'))
    return std::nullopt;
  text.remove_prefix(3);
  const std::size_t equals = text.find('=');
  out.name = lower_case(text.substr(0, equals));
  out.value = equals == std::string_view::npos ? "1" : std::string(text.substr(equals + 1));
  out.arithmetic =
      equals != std::string_view::npos && !out.value.empty() && (out.value[0] == '+' || out.value[0] == '-');
  return out;
}

// Actions that do nothing but choose when a rule runs and that it is not heard of.
bool is_silent(const seclang::Action& action) {
  static constexpr std::string_view silent[] = {"id",  "phase", "pass", "nolog", "noauditlog", "auditlog",
                                                "ver", "rev",   "tag",  "msg",   "skipafter"};
  return std::find(std::begin(silent), std::end(silent), action.name) != std::end(silent) ||
         (action.name == "t" && equals_ignoring_case(action.value, "none")) || action.name == "setvar";
}

}  // namespace

void Folder::State::set(const std::string& name, const std::string& value) {
  drop(name);
  known[name] = value;
  known_bytes += name.size() + value.size();
  unknown.erase(name);
}

void Folder::State::drop(const std::string& name) {
  const auto found = known.find(name);
  if (found == known.end()) return;
  known_bytes -= name.size() + found->second.size();
  known.erase(found);
}

void Folder::State::forget(const std::string& name) {
  drop(name);
  unknown.insert(name);
}

void Folder::State::forget_prefix(const std::string& prefix) {
  std::erase_if(known, [&](const auto& entry) {
    const bool goes = entry.first.starts_with(prefix);
    if (goes) known_bytes -= entry.first.size() + entry.second.size();
    return goes;
  });
  unknown_prefixes.push_back(prefix);
}

bool Folder::State::is_unknown(const std::string& name) const {
  if (known.contains(name)) return false;
  return unknown.contains(name) || std::any_of(unknown_prefixes.begin(), unknown_prefixes.end(),
                                               [&](const std::string& prefix) { return name.starts_with(prefix); });
}

Folder::Folder(const std::vector<std::vector<Item>>& phases, bool allowed) : phases_(phases), allowed_(allowed) {
  for (const auto& items : phases_) {
    for (const Item& item : items) {
      if (item.text != nullptr) look_for_obstacles(*item.text);
    }
  }
}

// What makes a rule depend on whether the ones before it were run at all, or takes rules out while a request runs.
void Folder::look_for_obstacles(const RuleText& text) {
  for (const RuleLink& link : text.links) {
    const bool first = &link == &text.links.front();
    if (first) {
      for (const seclang::Variable& variable : link.variables)
        allowed_ = allowed_ && !variable.name.starts_with("MATCHED_");
      allowed_ = allowed_ && !mentions_matched_var(link.op.argument);
      const bool disruptive = has(link, "deny") || has(link, "drop") || has(link, "block") || has(link, "redirect");
      allowed_ = allowed_ && (disruptive || !has(link, "status"));  // a status that a later deny would find
    }
    for (const seclang::Action& action : link.actions) {
      if (action.name == "skip") allowed_ = false;  // counts rules
      if (link.variables.empty() && mentions_matched_var(action.value)) allowed_ = false;
      if (action.name != "ctl") continue;
      const std::size_t equals = action.value.find('=');
      const std::string name = lower_case(action.value.substr(0, equals));
      const std::string_view value =
          equals == std::string::npos ? std::string_view{} : std::string_view(action.value).substr(equals + 1);
      if (name == "ruleremovebytag") removed_tags_.emplace(value);
      if (name == "ruleremovebymsg") allowed_ = false;
      if (name == "ruleremovetargetbyid" || name == "ruleremovetargetbytag") {
        const std::size_t semicolon = std::min(value.find(';'), value.size());
        if (!lower_case(value.substr(semicolon)).starts_with(";tx")) continue;
        const auto id = plain_number(value.substr(0, semicolon));
        if (name == "ruleremovetargetbytag") {
          removed_tags_.emplace(value.substr(0, semicolon));
        } else if (id) {
          removed_ids_.emplace_back(static_cast<std::uint32_t>(*id), static_cast<std::uint32_t>(*id));
        } else {
          allowed_ = false;
        }
      }
      if (name != "ruleremovebyid") continue;
      const std::size_t dash = value.find('-');
      const auto low = plain_number(value.substr(0, dash));
      const auto high = dash == std::string_view::npos ? low : plain_number(value.substr(dash + 1));
      if (low && high) {
        removed_ids_.emplace_back(static_cast<std::uint32_t>(*low), static_cast<std::uint32_t>(*high));
      } else {
        allowed_ = false;
      }
    }
  }
}

bool Folder::removable_at_run_time(const Item& item) const {
  if (std::any_of(removed_ids_.begin(), removed_ids_.end(),
                  [&](const auto& range) { return item.id >= range.first && item.id <= range.second; })) {
    return true;
  }
  for (const seclang::Action& action : item.text->links.front().actions) {
    if (action.name == "tag" && !removed_tags_.empty() &&
        (removed_tags_.contains(action.value) || action.value.find("%{") != std::string::npos))
      return true;
  }
  return false;
}

std::vector<std::vector<Folder::Decision>> Folder::fold(std::size_t first_phase) {
  std::vector<std::vector<Decision>> decisions;
  State state;
  for (std::size_t number = 0; number < phases_.size(); ++number) {
    const auto& items = phases_[number];
    if (!allowed_ || number < first_phase) {
      // Rules before the first phase that has values are as rare as they are odd: what they do is not followed.
      if (std::any_of(items.begin(), items.end(), [](const Item& item) { return item.marker == nullptr; }))
        allowed_ = false;
      decisions.emplace_back(items.size());
      continue;
    }
    State of_phase = state;
    decisions.push_back(fold_phase(items, of_phase, number == first_phase));
    if (number != first_phase) continue;
    // Later phases know what is certain however the first one ended, and what nobody writes in any of them.
    state = std::move(of_phase);
    for (const std::string& name : uncertain_) state.forget(name);
    std::vector<Region> none;
    for (std::size_t later = number + 1; later < phases_.size(); ++later) {
      for (const Item& item : phases_[later]) {
        if (item.marker == nullptr && item.values == nullptr) note_effects(item.text, state, none);
        none.clear();
      }
    }
  }
  return decisions;
}

// True if a rule jumps over the end of a region that an earlier rule may skip to: when that one does, the steps
// behind the region's end are run after all.
bool Folder::skips_past(const std::vector<Item>& items, std::size_t at, const std::vector<Region>& regions) {
  if (items[at].text == nullptr) return false;
  const auto& actions = items[at].text->links.front().actions;
  const auto target =
      std::find_if(actions.begin(), actions.end(), [](const auto& action) { return action.name == "skipafter"; });
  if (target == actions.end()) return false;
  for (std::size_t i = at + 1; i < items.size(); ++i) {
    if (items[i].marker == nullptr) continue;
    if (*items[i].marker == target->value) return false;
    if (std::any_of(regions.begin(), regions.end(),
                    [&](const Region& region) { return region.marker == *items[i].marker; }))
      return true;
  }
  return true;  // no such marker: the library would go on skipping in the next phase
}

std::vector<Folder::Decision> Folder::fold_phase(const std::vector<Item>& items, State& state, bool first) {
  std::vector<Decision> decisions(items.size());
  std::vector<Region> regions;
  const auto changed = [&](const std::string& name) {
    for (Region& region : regions) region.changed.insert(name);
    if (first && may_have_left_) uncertain_.insert(name);
  };
  for (std::size_t i = 0; i < items.size(); ++i) {
    const Item& item = items[i];
    if (item.marker != nullptr) {
      for (const Region& region : regions) {
        if (region.marker != *item.marker) continue;
        for (const std::string& name : region.changed) state.forget(name);
      }
      std::erase_if(regions, [&](const Region& region) { return region.marker == *item.marker; });
      continue;
    }
    if (!allowed_) continue;
    Decision decision = decide(item, state);
    if (decision.action == Action::set && skips_past(items, i, regions)) decision = {};
    if (decision.action == Action::run) {
      if (item.text == nullptr || item.text->links.empty()) {
        allowed_ = false;  // it may do anything
        continue;
      }
      const std::size_t open = regions.size();
      note_effects(item.text, state, regions);
      for (std::size_t r = open; r < regions.size(); ++r) {
        const bool found = std::any_of(
            items.begin() + static_cast<std::ptrdiff_t>(i), items.end(),
            [&](const Item& later) { return later.marker != nullptr && *later.marker == regions[r].marker; });
        if (!found) allowed_ = false;  // would skip on into the next phase
      }
      decisions[i] = std::move(decision);
      continue;
    }
    for (const auto& [name, value] : decision.values) {
      state.set(name, value);
      changed(name);
    }
    const bool skips =
        decision.action == Action::set && item.text != nullptr && has(item.text->links.front(), "skipafter");
    if (decision.action == Action::set && decision.values.empty()) decision.action = Action::drop;
    decisions[i] = std::move(decision);
    if (!skips) continue;
    const auto& actions = item.text->links.front().actions;
    const auto target =
        std::find_if(actions.begin(), actions.end(), [](const auto& action) { return action.name == "skipafter"; });
    while (i + 1 < items.size() && (items[i + 1].marker == nullptr || *items[i + 1].marker != target->value)) {
      ++i;
      if (items[i].marker == nullptr) decisions[i].action = Action::drop;
    }
  }
  return decisions;
}

Folder::Decision Folder::decide(const Item& item, const State& state) const {
  if (item.values != nullptr) return {Action::set, *item.values};
  if (item.keep || item.text == nullptr || item.text->links.empty() || removable_at_run_time(item)) return {};
  const auto& links = item.text->links;
  const bool unconditional = links.front().variables.empty();
  if (!unconditional) {
    const auto matches = outcome(links.front(), state);
    if (matches == false) return {Action::drop, {}};
    // A chain whose end never matches does no more than what its first rules set.
    const bool acts = std::any_of(links.begin(), links.end(), [](const RuleLink& link) {
      return has(link, "setvar") || has(link, "capture") || has(link, "multimatch");
    });
    if (!acts && std::any_of(links.begin() + 1, links.end(),
                             [&](const RuleLink& link) { return outcome(link, state) == false; }))
      return {Action::drop, {}};
    if (matches != true) return {};
  }
  if (links.size() != 1) return {};
  const RuleLink& link = links.front();
  if (!has(link, "pass") || !has(link, "nolog") || !std::all_of(link.actions.begin(), link.actions.end(), is_silent))
    return {};
  Decision decision{Action::set, {}};
  State now = state;  // later assignments of the rule see the earlier ones
  for (const seclang::Action& action : link.actions) {
    if (action.name != "setvar") continue;
    const auto set = tx_variable(action.value);
    if (!set || set->unset || set->name.find("%{") != std::string::npos) return {};
    if (set->arithmetic) {
#ifdef GATEHOUSE_SCREEN
      if (const auto sum = summed(set->name, set->value, now)) {
        now.set(set->name, *sum);
        decision.values.emplace_back(set->name, *sum);
        continue;
      }
#endif
      return {};
    }
    // Forms that the library's scanner may take apart in another way.
    if (set->value.find('=') != std::string::npos || set->value.starts_with(' ') || set->value.ends_with(' '))
      return {};
    const auto value = expanded(set->value, now);
    if (!value) return {};
    now.set(set->name, *value);
    if (now.known_bytes > max_known_bytes) return {};
    decision.values.emplace_back(set->name, *value);
  }
  return decision;
}

#ifdef GATEHOUSE_SCREEN
std::vector<std::vector<Folder::Decision>> Folder::fold_running_through(std::size_t first_phase) {
  std::vector<std::vector<Decision>> decisions;
  State state;
  for (std::size_t number = 0; number < phases_.size(); ++number) {
    if (number < first_phase) {
      if (std::ranges::any_of(phases_[number], [](const Item& item) { return item.marker == nullptr; }))
        allowed_ = false;
      decisions.emplace_back(phases_[number].size());
    } else {
      decisions.push_back(fold_phase(phases_[number], state, false));
    }
  }
  return decisions;
}

// "tx.score=+%{tx.more}": what is not set counts as 0.
std::optional<std::string> Folder::summed(const std::string& name, const std::string& value, const State& state) const {
  const auto number = [](const std::string& text) {
    return text.empty() ? std::optional<long>(0) : plain_number(text);
  };
  if (state.is_unknown(name)) return std::nullopt;
  const auto found = state.known.find(name);
  const auto before = number(found == state.known.end() ? std::string{} : found->second);
  const auto text = expanded(value.substr(1), state);
  const auto more = text ? number(*text) : std::nullopt;
  if (!before || !more || (value[0] == '-' && *more > *before)) return std::nullopt;
  return std::to_string(value[0] == '-' ? *before - *more : *before + *more);
}
#endif

// Whether a rule on TX matches; nothing if that is not certain.
std::optional<bool> Folder::outcome(const RuleLink& link, const State& state) const {
  for (const seclang::Action& action : link.actions) {
    if (action.name == "t" && !equals_ignoring_case(action.value, "none")) return std::nullopt;
    if (action.name == "multimatch") return std::nullopt;
  }
  std::optional<long> argument;  // asked for only if there is a value to compare
  bool matched = false;
  for (const seclang::Variable& variable : link.variables) {
    if (variable.name != "TX" || !variable.has_selector || variable.regex || variable.exclude) return std::nullopt;
    const std::string name = lower_case(variable.selector);
    if (name.find("%{") != std::string::npos || state.is_unknown(name)) return std::nullopt;
    const auto found = state.known.find(name);
    if (found == state.known.end() && !variable.count) continue;  // no value: nothing to match
    const auto value = variable.count ? std::optional<long>(found != state.known.end()) : plain_number(found->second);
    if (!argument) {
      const auto text = expanded(link.op.argument, state);
      argument = text ? plain_number(*text) : std::nullopt;
    }
    if (!value || !argument) return std::nullopt;
    const auto result = compare(link.op.name, *value, *argument);
    if (!result) return std::nullopt;
    matched = matched || *result != link.op.negated;
  }
  return matched;
}

// The text with the values of TX in it; nothing if one of them is not known.
std::optional<std::string> Folder::expanded(const std::string& text, const State& state) const {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    if (text.compare(at, 2, "%{") != 0) {
      // The library's scanner has its own view of these.
      if (text[at] == '\\' || text[at] == '%') return std::nullopt;
      out += text[at++];
      continue;
    }
    const std::size_t close = text.find('}', at);
    if (close == std::string::npos) return std::nullopt;
    const std::string inside = lower_case(std::string_view(text).substr(at + 2, close - at - 2));
    if (!inside.starts_with("tx.") && !inside.starts_with("tx:")) return std::nullopt;
    const std::string name = inside.substr(3);
    if (state.is_unknown(name)) return std::nullopt;
    if (const auto found = state.known.find(name); found != state.known.end()) out += found->second;
    if (out.size() > max_value_bytes) return std::nullopt;
    at = close + 1;
  }
  return out;
}

// What a rule that runs may change. Nothing known of it: everything.
void Folder::note_effects(const RuleText* text, State& state, std::vector<Region>& regions) {
  if (text == nullptr || text->links.empty()) {
    state.forget_prefix("");
    may_have_left_ = true;
    return;
  }
  const auto forget = [&](const std::string& name) {
    state.forget(name);
    for (Region& region : regions) region.changed.insert(name);
  };
  std::vector<std::string> jumps;
  bool passes = false;
  for (const RuleLink& link : text->links) {
    for (const seclang::Action& action : link.actions) {
      if (action.name == "setvar") {
        const auto set = tx_variable(action.value);
        if (!set) continue;
        const std::size_t macro = set->name.find("%{");
        if (macro == std::string::npos) {
          forget(set->name);
        } else {
          state.forget_prefix(set->name.substr(0, macro));
        }
      } else if (action.name == "capture") {
        for (char digit = '0'; digit <= '9'; ++digit) forget(std::string(1, digit));
      } else if (action.name == "exec") {
        state.forget_prefix("");
      } else if (action.name == "skipafter") {
        jumps.push_back(action.value);
      } else if (action.name == "pass") {
        passes = true;
      }
    }
  }
  may_have_left_ = may_have_left_ || !passes;
  for (std::string& jump : jumps) regions.push_back({std::move(jump), {}});
}

}  // namespace gatehouse::waf
