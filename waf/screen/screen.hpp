// Runs a program over what was read of a request: says that no rule of it can match, or that one may. See program.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "waf/screen/program.hpp"
#include "waf/screen/reading.hpp"

namespace gatehouse::waf::screen {

/// One request's way through a program. To be used by one thread at a time, for one request after the other.
class Screen {
 public:
  explicit Screen(const Program& program) : program_(&program) {}

  /// True if no rule of the head's phase matches, nor any of the body's phase on what the head says.
  [[nodiscard]] bool passes_head(Reading& reading);
  /// The same of the body's phase. After passes_head().
  [[nodiscard]] bool passes_body(Reading& reading);

  /// Whether this rule may, by itself.
  [[nodiscard]] bool may_match(Reading& reading, const Rule& rule) {
    reading_ = &reading;
    return may_match(rule);
  }

  /// The rule that may match, after one of these was false; 0 if nobody can tell which.
  [[nodiscard]] std::uint32_t doubtful_rule() const noexcept { return doubtful_rule_; }

 private:
  struct Seen {
    Text text;
    Nodes nodes;  // after which it is this
  };
  struct Local {
    std::string name;
    std::string value;
    bool certain = true;     // the value is known
    bool is_prefix = false;  // only the beginning of the name is
  };
  enum class Answer : std::uint8_t { no, yes, unknown };

  [[nodiscard]] bool passes(const Plan& plan, std::string_view value, Source source, bool names,
                            const Element* element);
  [[nodiscard]] bool passes_element(Source source, const Element& element);
  [[nodiscard]] bool passes_scalar(Source source);
  [[nodiscard]] bool takes(const Rule& rule, Source source, bool names, const Element* element) const;
  [[nodiscard]] bool may_match(const Rule& rule);
  /// Whether the link may match; with `notes`, what it sets is noted.
  [[nodiscard]] bool may_match(const Link& link, bool notes);
  [[nodiscard]] Answer ask(const Link& link, std::string_view name, std::string_view text);
  [[nodiscard]] bool none_matches(std::span<const std::uint16_t> rules);
  [[nodiscard]] bool none_of_last_matches(bool of_body_phase);
  [[nodiscard]] std::optional<int> counter(const std::string& name) const;
  [[nodiscard]] std::optional<std::string> add_to(const std::string& name, int step) const;
  void note(const Link& link, std::string_view matched, bool certain);
  void set_unknown(const Assignment& assignment, const std::optional<std::string>& value);
  void set_local(std::string name, std::string value, bool certain, bool is_prefix = false);
  [[nodiscard]] bool confirm(const Rule& rule, const Seen& seen);
  bool doubt(std::uint32_t rule) noexcept {
    doubtful_rule_ = rule;
    return false;
  }

  const Program* program_;
  Reading* reading_ = nullptr;
  std::size_t arguments_seen_ = 0;
  std::uint32_t doubtful_rule_ = 0;
  std::vector<Seen> seen_;
  std::vector<std::uint32_t> ids_;
  std::array<std::uint8_t, max_nodes> text_of_node_{};
  std::vector<Local> locals_;      // of TX, by the rule that is tried
  std::vector<Local> set_by_all_;  // by any rule of the request
  std::vector<std::string_view> groups_;
};

}  // namespace gatehouse::waf::screen
