// `routes` of a tenant's file. See tenant_parts.hpp.
#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "config/kinds.hpp"
#include "config/spelling.hpp"
#include "config/tenant_parts.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

using namespace std::chrono_literals;

/// Header fields that a request must have: {name: value}, or {name: } if any value will do.
struct HeaderMatches {
  static constexpr std::size_t most = 16;

  bool read(Source& source, const Node& node, std::vector<HeaderMatch>& out) const {
    if (!check_named(source, node, 0, most)) return false;
    bool good = true;
    for (const Member& member : node.members) {
      HeaderMatch match;
      if (!is_token(member.key) || member.key.size() > 100) {
        source.error(member.key_at, fmt::format("{} is not a header name", cite(member.key)));
        good = false;
        continue;
      }
      match.name = to_lower(member.key);
      if (std::ranges::any_of(out, [&](const HeaderMatch& h) { return h.name == match.name; })) {
        source.error(member.key_at, fmt::format("the header {} is given twice", cite(match.name)));
        good = false;
      }
      if (member.value.kind != Node::Kind::null) {
        std::string value;
        if (!Text{"a header's value", check_value, 1'000, {}, 0}.read(source, member.value, value)) good = false;
        match.value = std::move(value);
      }
      out.push_back(std::move(match));
    }
    return good;
  }
  [[nodiscard]] JsonObject schema() const {
    JsonObject schema = schema_of_type("object");
    schema.add("propertyNames", field_name_text().schema().to_string());
    schema.add("additionalProperties", R"({"type":["string","null"]})");
    return schema;
  }

 private:
  static Parsed<std::string> check_value(std::string_view text) {
    if (std::ranges::any_of(text, [](char c) { return c < ' ' || c > '~'; }))
      return std::unexpected("has characters outside of printable ASCII");
    if (text.starts_with(' ') || text.ends_with(' '))
      return std::unexpected("begins or ends with a blank, which a received value never does");
    return std::string(text);
  }
};

constexpr std::size_t kLongestRegex = 500;
constexpr std::size_t kMostRegexBytes =
    32UL * 1024;  // of all routes: compiling what a tenant wrote takes some 60 us a byte at worst

// Matching a path of 16 KiB against all of them takes some 0.1 s at worst, a microsecond a step and KiB; and each may
// take kRegexMemoryBytes.
constexpr std::size_t kMostRegexSteps = 5'000;
constexpr std::size_t kMostRegexes = 100;

/// What all expressions of a tenant's routes come to.
struct RegexTotal {
  std::size_t count = 0;
  std::size_t bytes = 0;
  std::size_t steps = 0;
};

/// How many steps it is compiled into.
Parsed<std::size_t> check_regex(std::string_view text) {
  // It is the route's name in logs and metrics, unless there is another.
  for (std::string_view rest = text; !rest.empty();) {
    const char32_t code_point = take_code_point(rest);
    if (is_invisible(code_point)) {
      return std::unexpected(
          fmt::format("has an invisible character; write it as \\x{{{:X}}}", static_cast<std::uint32_t>(code_point)));
    }
  }
  RE2::Options options(RE2::Quiet);
  options.set_max_mem(kRegexMemoryBytes);
  const RE2 regex(re2::StringPiece(text.data(), text.size()), options);
  if (!regex.ok()) return std::unexpected(fmt::format("does not compile (RE2): {}", printable(regex.error(), 200)));
  return static_cast<std::size_t>(regex.ProgramSize());
}

/// False if what the expression matches never begins with a slash.
bool may_match_paths(const std::string& text) {
  RE2::Options options(RE2::Quiet);
  options.set_max_mem(kRegexMemoryBytes);
  std::string least;
  std::string most;
  constexpr int bytes = 2;
  if (!RE2(text, options).PossibleMatchRange(&least, &most, bytes)) return true;
  return least < "0" && most >= "/";  // "0" is what follows all that begins with "/"
}

void check_regex(Mapping& m, const std::string& text, RegexTotal& total) {
  const auto all = [&](std::size_t most, std::string_view what) {
    m.error("path_regex", fmt::format("the expressions of a tenant's routes have at most {} {} in all", most, what));
  };
  if (++total.count > kMostRegexes)
    return m.error("path_regex", fmt::format("a tenant has at most {} routes with an expression", kMostRegexes));
  if (total.bytes > kMostRegexBytes) return all(kMostRegexBytes, "bytes");
  total.bytes += text.size();
  const auto steps = check_regex(text);
  if (!steps)
    return m.error("path_regex", fmt::format("{} is not a regular expression: it {}", cite(text), steps.error()));
  if (!may_match_paths(text))
    m.warning("path_regex", fmt::format("no path matches {}: the whole path must, and it begins with '/'", cite(text)));
  total.steps += *steps;
  if (total.steps > kMostRegexSteps) all(kMostRegexSteps, "steps, into which they are compiled,");
}

void read_match(Mapping& m, RouteMatch& match, RegexTotal& total) {
  constexpr std::string_view path_keys[] = {"path", "path_exact", "path_regex"};
  m.read("path", match.path, path_text(), "Prefix of whole segments: /api matches /api and /api/x, not /apix.");
  std::string other;
  if (m.read("path_exact", other, path_text(), "The whole path.")) match.kind = PathMatch::exact, match.path = other;
  if (m.read("path_regex", other, Text{"a regular expression", nullptr, kLongestRegex},
             "Regular expression (RE2) that the whole path must match.")) {
    match.kind = PathMatch::regex;
    match.path = other;
  }
  if (match.kind == PathMatch::regex) check_regex(m, match.path, total);
  if (std::ranges::count_if(path_keys, [&](std::string_view key) { return m.has(key); }) > 1)
    m.error("'path', 'path_exact' and 'path_regex' exclude each other; keep one");
  m.read("methods", match.methods, list_of(method_text(), 1, 32), "Methods; without it all.");
  m.read("headers", match.headers, HeaderMatches{},
         "Header fields that the request must have, with this value, or with any where none is given.");
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < match.methods.size(); ++i) {
    if (!seen.insert(match.methods[i]).second)
      m.error_at(m.item_at("methods", i), fmt::format("the method {} is given twice", cite(match.methods[i])));
    if (match.methods[i] == "CONNECT")
      m.warning_at(m.item_at("methods", i), "requests with the method 'CONNECT' are always refused");
  }
  std::ranges::sort(match.methods);
}

/// The index of `name` in `items`. Reports what is in neither the list nor the file; what is in the file alone has an
/// error of its own.
template <class T>
std::optional<std::size_t> find_by_name(Mapping& m, Mark at, std::string_view what, std::string_view name,
                                        const std::vector<T>& items, std::span<const std::string_view> names) {
  const auto found = std::ranges::find(items, name, &T::name);
  if (found != items.end()) return static_cast<std::size_t>(found - items.begin());
  if (std::ranges::find(names, name) == names.end()) {
    m.error_at(at, fmt::format("there is no {} {}{}", what, cite(name),
                               names.empty() ? std::string() : suggestion(name, names)));
  }
  return std::nullopt;
}

/// What the routes share while they are read.
struct Shared {
  std::vector<std::string_view> services;      // as named in the file, valid or not
  std::vector<std::string_view> rate_limits;
  RegexTotal regexes;
};

void read_route(Mapping& m, Route& route, const TenantConfig& tenant, Shared& shared) {
  constexpr auto check_name = [](std::string_view text) -> Parsed<std::string> {
    if (std::ranges::any_of(text, [](char c) { return c <= ' ' || c > '~'; }))
      return std::unexpected("has blanks or characters outside of ASCII");
    return std::string(text);
  };
  route.place = m.place(m.at());
  m.read("name", route.name, Text{"a route's name", check_name, 200},
         "Name for logs and metrics, unique in the tenant. Default: the path.");
  m.require("match", route.match,
            object<RouteMatch>([&](Mapping& inner, RouteMatch& match) { read_match(inner, match, shared.regexes); }),
            "Which requests this route takes; the first route that fits does.");
  std::string service;
  if (m.require("service", service, name_text("a service's name"), "The service that answers.")) {
    if (const auto index = find_by_name(m, m.at("service"), "service", service, tenant.services, shared.services))
      route.service = *index;
  }
  std::vector<std::string> limits;
  m.read("rate_limits", limits, list_of(name_text("a rate limit's name"), 0, 16),
         "Rate limits that its requests pass, by name.");
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < limits.size(); ++i) {
    const Mark at = m.item_at("rate_limits", i);
    if (!seen.insert(limits[i]).second)
      m.error_at(at, fmt::format("the rate limit {} is given twice", cite(limits[i])));
    if (const auto index = find_by_name(m, at, "rate limit", limits[i], tenant.rate_limits, shared.rate_limits))
      route.rate_limits.push_back(*index);
  }
  m.read("timeout", route.timeout, Duration{1ms, 24h},
         "For the upstream's answer, instead of the gateway's timeouts.response.");
  if (route.name.empty()) route.name = route.match.path;
}

/// Everything that `narrow` takes, `wide` takes too. Methods are sorted.
bool covers(const RouteMatch& wide, const RouteMatch& narrow) {
  if (!wide.methods.empty() && (narrow.methods.empty() || !std::ranges::includes(wide.methods, narrow.methods)))
    return false;
  for (const HeaderMatch& header : wide.headers) {
    const auto same = std::ranges::find(narrow.headers, header.name, &HeaderMatch::name);
    if (same == narrow.headers.end() || (header.value && header.value != same->value)) return false;
  }
  switch (wide.kind) {
    case PathMatch::prefix:
      return narrow.kind == PathMatch::regex ? wide.path == "/" : prefix_covers(wide.path, narrow.path);
    case PathMatch::exact: return narrow.kind == PathMatch::exact && narrow.path == wide.path;
    case PathMatch::regex: return narrow.kind == PathMatch::regex && narrow.path == wide.path;
  }
  return false;
}

Mark mark_of(const Place& place) { return {place.line, place.column}; }

void check_routes(Mapping& m, const TenantConfig& tenant) {
  std::unordered_map<std::string_view, const Route*> by_name;
  for (std::size_t i = 0; i < tenant.routes.size(); ++i) {
    const Route& route = tenant.routes[i];
    const auto shadowing = std::find_if(tenant.routes.begin(), tenant.routes.begin() + static_cast<std::ptrdiff_t>(i),
                                        [&](const Route& r) { return covers(r.match, route.match); });
    if (shadowing != tenant.routes.begin() + static_cast<std::ptrdiff_t>(i)) {
      if (covers(route.match, shadowing->match)) {
        m.error_at(mark_of(route.place),
                   fmt::format("this route has the same match as the one in line {}, which takes all its requests",
                               shadowing->place.line));
        continue;
      }
      m.warning_at(
          mark_of(route.place),
          fmt::format(
              "this route is never reached: the one in line {} takes all its requests; put the narrower route first",
              shadowing->place.line));
    }
    const auto [first, is_new] = by_name.try_emplace(route.name, &route);
    if (!is_new) {
      m.error_at(mark_of(route.place), fmt::format("the route in line {} is called {} too; give this one a name of its "
                                                   "own (a route without one is called as its path)",
                                                   first->second->place.line, cite(route.name)));
    }
  }
}

template <class T, class Used>
void warn_unused(Mapping& m, std::string_view key, std::string_view what, const std::vector<T>& items, Used used) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!used(i))
      m.warning_at(m.name_at(key, items[i].name), fmt::format("no route uses the {} {}", what, cite(items[i].name)));
  }
}

}  // namespace

bool prefix_covers(std::string_view wide, std::string_view narrow) noexcept {
  if (wide.ends_with('/')) wide.remove_suffix(1);
  if (!narrow.starts_with(wide)) return false;
  return narrow.size() == wide.size() || narrow[wide.size()] == '/';
}

void read_routes(Mapping& m, TenantConfig& tenant, const Platform&) {
  Shared shared{m.names("services"), m.names("rate_limits")};
  const bool good = m.require(
      "routes", tenant.routes,
      list_of(object<Route>([&](Mapping& inner, Route& route) { read_route(inner, route, tenant, shared); }), 1, 1'000),
      "Which request goes to which service; the first route that fits.");
  check_routes(m, tenant);
  if (!good) return;  // a route with an error may be the one that uses them
  warn_unused(m, "services", "service", tenant.services, [&](std::size_t index) {
    return std::ranges::any_of(tenant.routes, [=](const Route& r) { return r.service == index; });
  });
  warn_unused(m, "rate_limits", "rate limit", tenant.rate_limits, [&](std::size_t index) {
    return std::ranges::any_of(
        tenant.routes, [=](const Route& r) { return std::ranges::find(r.rate_limits, index) != r.rate_limits.end(); });
  });
}

}  // namespace gatehouse::config
