// A policy's rules as the screen decides them: what each looks at, through which transformations, with which operator.
// Made once for each policy; shared by all threads.
//
// The screen assumes that no rule matches. What configuration fixes under that assumption is folded away (waf/fold.hpp);
// of what is left each rule is shown not to match, or the request is the library's. So a rule that would change what
// others see needs no simulation: if it may match, the screen has nothing to say.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "waf/exclusions.hpp"
#include "waf/fold.hpp"
#include "waf/modsecurity.hpp"
#include "waf/screen/patterns.hpp"
#include "waf/screen/reading.hpp"
#include "waf/screen/transformation.hpp"

namespace gatehouse::waf::screen {

/// A variable of a rule: which values of a Reading it takes.
struct Selector {
  enum class Keys : std::uint8_t { all, name, pattern };
  Source source = Source::args;
  bool names = false;  // the elements' names are the values
  bool count = false;
  std::optional<Element::Part> part;
  Keys keys = Keys::all;
  std::string name;
  std::optional<NamePattern> pattern;

  [[nodiscard]] bool takes(const Element& element) const noexcept;
};

/// A variable of TX, as an earlier link of the same rule may have set it, and else as it is in every request.
struct TxTarget {
  std::string name;  // lower case; empty: `pattern`
  std::optional<NamePattern> pattern;
  std::vector<std::string> constants;  // its values in every request
  bool count = false;
  bool is_unseen = false;  // a rule that runs unseen may set it, so that nobody can tell what it has
  bool is_set_by_others = false;  // another rule may set it while it is tried
};

/// What one link of a rule looks at.
struct Targets {
  std::vector<Selector> of;
  std::vector<Selector> except;
  std::vector<TxTarget> tx;

  [[nodiscard]] bool excepts(const Selector& selector, const Element& element) const noexcept;
};

struct Operator {
  enum class Kind : std::uint8_t {
    unknown,  // nobody can tell
    library,  // the library's own operator, which needs no transaction
    pattern,  // a regular expression of which the groups are wanted
    within,  // these with a text in which variables of TX are resolved
    streq,
    contains,
    begins_with,
    ends_with,
    eq,
    ge,
    gt,
    le,
    lt,
  };
  Kind kind = Kind::unknown;
  bool negated = false;  // of those that are ours; the library's has it in itself
  std::string argument;
  std::optional<Pattern> pattern;
};

/// "setvar:tx.NAME=TEXT"; of macros %{tx.NAME} and %{matched_var} are known.
struct Assignment {
  std::string name;
  std::optional<std::string> value;  // empty: it is not known
  std::optional<int> step;  // "+1": added to what is there
};

struct Link {
  Targets targets;
  std::vector<Transformation> transformations;
  bool multi_match = false;
  Operator op;
  modsecurity::RuleWithOperator* rule = nullptr;
  std::vector<Assignment> assignments;  // that later links of the rule look at
};

inline constexpr std::size_t max_nodes = 128;
using Nodes = std::bitset<max_nodes>;

struct Rule {
  std::uint32_t id = 0;
  bool in_body_phase = false;
  bool is_quiet = false;  // nobody hears of it: if it matches, what it sets is noted, and that is all
  std::vector<Link> links;
  Nodes nodes;  // after which transformations the first link looks at a text; of rules that plans hold
};

/// One chain of transformations, as a step beyond another.
struct Node {
  std::uint8_t parent = 0;  // node 0 is the text itself
  Transformation transformation;
};

/// A rule that asks libinjection.
struct Injection {
  std::uint16_t rule = 0;
  bool is_xss = false;
};

/// What is done with values of one kind: each transformation once, each text scanned once.
struct Plan {
  std::vector<std::uint8_t> nodes;  // in an order in which parents come first, without node 0
  std::vector<Injection> injections;
  std::shared_ptr<const PatternSet> patterns;  // null: none
};

/// Why a rule is not decided by the screen, so that none of the policy's requests is.
struct Residual {
  std::uint32_t rule = 0;
  std::string why;
};

class Program {
 public:
  struct Step {
    Folder::Item item;
    modsecurity::RuleWithActions* rule = nullptr;
    bool looks_at_more = false;  // than its text says
  };
  /// `phases`: what the policy runs, folded once. `allowed`: whether rules are what their texts say.
  static std::shared_ptr<const Program> compile(const std::vector<std::vector<Step>>& phases, bool allowed);

  /// False: every request is the library's, and residual() says why.
  [[nodiscard]] bool decides() const noexcept { return residual_.empty(); }
  [[nodiscard]] const std::vector<Residual>& residual() const noexcept { return residual_; }
  [[nodiscard]] const std::vector<Rule>& rules() const noexcept { return rules_; }

 private:
  friend class Screen;
  class Compiler;

  std::vector<Rule> rules_;
  std::vector<std::uint16_t> others_[2];  // rules that are tried one by one, by phase: head, body
  std::vector<Rule> last_;  // that look at what others set, of both phases and of answers
  // Variables of TX that only quiet rules set, which are tried in the library's order: what these note is what they have.
  std::map<std::string, std::optional<int>, std::less<>> counters_;  // with what they have at first
  bool looks_into_xml_ = false;  // with other expressions than the two that a Reading has
  std::vector<std::uint16_t> rule_of_id_;  // of each expression in the pattern sets
  std::vector<Node> nodes_;
  // Plans by kind of value. Header fields that some rule names have their own.
  struct CollectionPlans {
    Plan names;
    Plan values;
  };
  std::array<CollectionPlans, static_cast<std::size_t>(Source::last_collection) + 1> collection_plans_;
  std::map<std::string, Plan, std::less<>> header_plans_;  // by name in lower case
  std::array<Plan, static_cast<std::size_t>(Source::count)> scalar_plans_;
  std::vector<Residual> residual_;
};

}  // namespace gatehouse::waf::screen
