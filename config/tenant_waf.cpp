// `waf` of a tenant's file. The SecLang itself is judged by the engine; here is what surrounds it. See tenant_parts.hpp.
#include <fmt/format.h>

#include <algorithm>

#include "config/kinds.hpp"
#include "config/tenant_parts.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

constexpr std::size_t kMostExclusions = 200;  // each is looked at by every rule of every request
constexpr std::size_t kLongestRules = 256UL * 1024;

/// SecLang: several lines, without other controls.
struct RulesText {
  static constexpr bool accepts_null = true;

  bool read(Source& source, const Node& node, std::string& out) const {
    if (node.kind == Node::Kind::null) return true;
    if (node.kind != Node::Kind::scalar) {
      if (node.kind != Node::Kind::refused)
        source.error(node.at, fmt::format("SecLang text is expected here, not {}", describe(node.kind)));
      return false;
    }
    if (node.text.size() > kLongestRules) {
      source.error(node.at, fmt::format("the rules have more than {} bytes", kLongestRules));
      return false;
    }
    const auto control = std::ranges::find_if(node.text, [](char c) {
      return (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
    });
    if (control != node.text.end()) {
      source.error(node.at, fmt::format("the rules have the control character {}", cite({&*control, 1})));
      return false;
    }
    out = node.text;
    return true;
  }
  [[nodiscard]] JsonObject schema() const {
    JsonObject schema;
    schema.add("type", R"(["string","null"])");
    return schema;
  }
  [[nodiscard]] std::string show(const std::string& value) const { return json_string(value); }
};

Parsed<std::string> check_target(std::string_view text) {
  const auto colon = text.find(':');
  const std::string_view variable = text.substr(0, colon);
  if (variable.empty() ||
      variable.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") != std::string_view::npos) {
    return std::unexpected("does not begin with the name of a variable in capitals, as in ARGS:comment");
  }
  if (colon == std::string_view::npos) return std::string(text);
  const std::string_view selector = text.substr(colon + 1);
  if (selector.empty()) return std::unexpected("has nothing behind its colon");
  if (selector.front() == '/') return std::unexpected("selects by a regular expression; name one argument");
  // It becomes part of a rule: nothing that ends or splits one.
  if (std::ranges::any_of(selector, [](char c) {
        return c <= ' ' || c > '~' || std::string_view("\"'\\,|%{}!&#;").find(c) != std::string_view::npos;
      })) {
    return std::unexpected("has a character behind its colon that the name of an argument cannot have here");
  }
  return std::string(text);
}

void read_exclusion(Mapping& m, Exclusion& exclusion) {
  exclusion.place = m.place(m.at());
  m.require("rule", exclusion.rule, Integer{1, 999'999'999}, "Id of the rule.");
  m.read("target", exclusion.target, Text{"a target", check_target, 200, "^[A-Z0-9_]+(:.+)?$"},
         "What the rule no longer looks at, as ARGS:comment; without it the whole rule is off.");
  m.read("path", exclusion.path, path_text(), "Prefix of whole segments; without it everywhere.");
}

void check_exclusions(Mapping& m, const TenantWaf& waf) {
  const auto& list = waf.exclusions;
  if (!list.empty() && waf.mode == WafMode::off) m.warning("exclusions", "exclusions have no effect with mode: off");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto covers = [&](const Exclusion& wide) {
      return &wide != &list[i] && wide.rule == list[i].rule && (wide.target.empty() || wide.target == list[i].target) &&
             (wide.path.empty() || (!list[i].path.empty() && prefix_covers(wide.path, list[i].path)));
    };
    const auto wide = std::ranges::find_if(list, covers);
    if (wide == list.end()) continue;
    const bool equal = wide->target == list[i].target &&
                       prefix_covers(list[i].path.empty() ? "/" : list[i].path, wide->path.empty() ? "/" : wide->path);
    if (equal && wide > list.begin() + static_cast<std::ptrdiff_t>(i))
      continue;  // of two equal ones the second is told
    m.warning_at({list[i].place.line, list[i].place.column},
                 fmt::format("this exclusion has no effect: the one in line {} covers it", wide->place.line));
  }
}

void read_waf_keys(Mapping& m, TenantWaf& waf, const GatewayConfig& gateway) {
  m.read("mode", waf.mode,
         Choice<WafMode>{{{"block", WafMode::block}, {"detect", WafMode::detect}, {"off", WafMode::off}}},
         "block refuses; detect reports alone; off does not look.");
  m.read("paranoia", waf.paranoia, Integer{1, 4},
         "Paranoia level of the Core Rule Set: more rules, more false alarms.");
  m.read("anomaly_threshold", waf, object<TenantWaf>([](Mapping& inner, TenantWaf& out) {
           inner.read("inbound", out.inbound_threshold, Integer{1, 100'000},
                      "Score of a request at which it is refused.");
           inner.read("outbound", out.outbound_threshold, Integer{1, 100'000},
                      "Score of a response at which it is refused.");
         }),
         "Scores at which the Core Rule Set refuses.");
  m.read("body", waf, object<TenantWaf>([&](Mapping& inner, TenantWaf& out) {
           if (inner.read("limit", out.body_limit, Size{1024, std::uint64_t{1} << 30},
                          "How much of a request's body is inspected.") &&
               out.body_limit > gateway.limits.buffered_bytes) {
             inner.error(
                 "limit",
                 fmt::format("inspected bodies are held in memory, of which the gateway has {} (limits.buffered_bytes)",
                             show_size(gateway.limits.buffered_bytes)));
           }
           inner.read(
               "over_limit", out.over_limit,
               Choice<OverLimit>{{{"block", OverLimit::block}, {"pass_uninspected", OverLimit::pass_uninspected}}},
               "A longer body is refused (413), or passes with its header inspected alone.");
           inner.read("response", out.inspect_response_body, Boolean{},
                      "Whether bodies of responses are inspected, for which they must be held back.");
         }),
         "Inspection of bodies.");
  m.read("exclusions", waf.exclusions, list_of(object<Exclusion>(read_exclusion), 0, kMostExclusions),
         "False alarms: what single rules shall not look at.");
  m.read("rules_before", waf.rules_before, RulesText{},
         "SecLang rules before the Core Rule Set, if the platform allows tenants to bring rules.");
  m.read("rules_after", waf.rules_after, RulesText{}, "SecLang rules after the Core Rule Set.");
  m.unavailable("verify_sample", "every request is judged by the full engine");
  waf.rules_before_place = m.place(m.text_at("rules_before"));
  waf.rules_after_place = m.place(m.text_at("rules_after"));
  const auto check_rules = [&](std::string_view key, const std::string& rules) {
    if (rules.find_first_not_of(" \t\n") == std::string::npos) return;
    if (gateway.policy.tenant_rules == TenantRules::no)
      m.error(key, fmt::format("'{}' is not allowed: gateway.yaml has policy: {{tenant_rules: false}}", key));
    else if (waf.mode == WafMode::off)
      m.warning(key, fmt::format("'{}' has no effect with mode: off", key));
  };
  check_rules("rules_before", waf.rules_before);
  check_rules("rules_after", waf.rules_after);
  check_exclusions(m, waf);
}

}  // namespace

void read_tenant_waf(Mapping& m, TenantConfig& tenant, const Platform& platform) {
  m.read("waf", tenant.waf,
         object<TenantWaf>([&](Mapping& inner, TenantWaf& waf) { read_waf_keys(inner, waf, platform.gateway); }),
         "The web application firewall of this tenant.");
}

}  // namespace gatehouse::config
