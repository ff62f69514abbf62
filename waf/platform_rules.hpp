// The platform's rules: our base configuration and the files that gateway.yaml names, parsed once for the process.
// Every policy is made of pointers to these rules. Made by waf/engine.cpp, read by waf/policy.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/problem.hpp"
#include "waf/modsecurity.hpp"
#include "waf/rule_text.hpp"
#include "waf/seclang.hpp"
#include "waf/variable_slots.hpp"

namespace gatehouse::waf {

inline constexpr std::size_t phase_count = modsecurity::Phases::NUMBER_OF_PHASES;

/// What a rule's text says, as far as policies need it.
struct RuleFacts {
  RuleText text;                    // without links if only the id is known
  SlotMask needs = always_present;  // the rule can match only if one of these is there

  /// What the first link looks at; empty if that is not known.
  [[nodiscard]] const std::vector<seclang::Variable>& variables() const noexcept;
};

class PlatformRules {
 public:
  /// Reads the files of each glob in the order of the list, those of one glob sorted by name. `places` says where each
  /// glob is written: its problems stand there.
  static std::expected<std::shared_ptr<const PlatformRules>, config::Problems> load(
      const std::vector<std::string>& globs, const std::vector<config::Place>& places = {});

  /// Rules of a phase in order. Those before `setup_end` are our base configuration and the files before
  /// REQUEST-901-INITIALIZATION, which is where a tenant's values and first rules go.
  struct Phase {
    std::vector<std::shared_ptr<modsecurity::Rule>> rules;
    std::size_t setup_end = 0;
  };
  [[nodiscard]] const Phase& phase(std::size_t number) const noexcept { return phases_[number]; }

  /// Null for an id that no rule has. A rule of which we know the id alone has no variables.
  [[nodiscard]] const RuleFacts* facts(std::uint32_t id) const noexcept;

  [[nodiscard]] const VariableSlots& slots() const noexcept { return slots_; }

  /// False if something in the files changes what rules do beyond their text (SecDefaultAction with transformations,
  /// SecRuleUpdateActionById and the like), so that nothing may be concluded from it.
  [[nodiscard]] bool texts_tell_all() const noexcept { return texts_tell_all_; }

  [[nodiscard]] const AddedTargets& added_targets() const noexcept { return added_targets_; }

  /// Default actions, exceptions, the unicode map and the like, to be merged into a policy's set under parse_mutex().
  [[nodiscard]] modsecurity::RulesSet& properties() const noexcept { return *set_; }

 private:
  PlatformRules() = default;
  bool load_text(std::string_view text, const std::string& name, config::Problems& problems, int depth = 0);
  bool include(const std::string& by, const seclang::Directive& directive, config::Problems& problems, int depth);
  void learn(const std::string& name, const seclang::Text& parsed, config::Problems& problems);
  void arrange(const std::array<std::size_t, phase_count>& setup_end);

  std::unique_ptr<modsecurity::RulesSet> set_ = std::make_unique<modsecurity::RulesSet>();
  std::array<Phase, phase_count> phases_;
  std::unordered_map<std::uint32_t, RuleFacts> facts_;
  VariableSlots slots_;
  AddedTargets added_targets_;
  bool texts_tell_all_ = true;
};

/// Rules of a text by id, chains together. Later rules of an id are left out.
[[nodiscard]] std::unordered_map<std::uint32_t, RuleText> rule_texts(const seclang::Text& text);

/// Rules that are never run: they keep records of clients in maps that all threads share without a lock and that
/// never shrink (initcol, IP reputation, DoS counters), for which the gateway has its own means.
[[nodiscard]] bool is_never_run(std::uint32_t id) noexcept;

/// libmodsecurity's parser error as a problem: "Rules error. File: a.conf. Line: 3. Column: 7. ...".
[[nodiscard]] config::Problem parser_problem(const std::string& error, const std::string& fallback_file);

}  // namespace gatehouse::waf
