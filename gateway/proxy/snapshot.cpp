// Hosts and routes; see snapshot.hpp.
#include "gateway/proxy/snapshot.hpp"

#include <algorithm>

#include "gateway/filter/forwarded_headers.hpp"
#include "gateway/http/validate.hpp"

namespace gatehouse::proxy {

const HostEntry* Snapshot::find_host(std::string_view host) const noexcept {
  if (const auto exact = hosts.find(host); exact != hosts.end() && !host.starts_with('*')) return &exact->second;
  if (const std::size_t dot = host.find('.'); dot != std::string_view::npos && dot > 0) {
    // A name is at most 253 bytes (RFC 1035 section 2.3.4); a longer one matches no wildcard.
    char wildcard[256];
    const std::string_view rest = host.substr(dot);
    if (rest.size() + 1 < sizeof wildcard) {
      wildcard[0] = '*';
      rest.copy(wildcard + 1, rest.size());
      if (const auto found = hosts.find(std::string_view(wildcard, rest.size() + 1)); found != hosts.end())
        return &found->second;
    }
  }
  if (const auto any = hosts.find(std::string_view("*")); any != hosts.end()) return &any->second;
  return nullptr;
}

const HostEntry* Snapshot::find_unnamed_host(const IpAddress& destination) const {
  std::string host = destination.to_string();
  if (!destination.is_v4()) host = "[" + host + "]";
  if (const auto exact = hosts.find(host); exact != hosts.end()) return &exact->second;
  if (const auto any = hosts.find(std::string_view("*")); any != hosts.end()) return &any->second;
  return only_address;
}

bool covers_path(std::string_view prefix, std::string_view path) noexcept {
  if (prefix.ends_with('/')) prefix.remove_suffix(1);
  if (!path.starts_with(prefix)) return false;
  return path.size() == prefix.size() || path[prefix.size()] == '/';
}

namespace {

// "Shop.Example.:443" is "shop.example".
std::string_view bare_host(std::string_view host) noexcept {
  const std::size_t port = host.find_last_not_of("0123456789");
  if (port != std::string_view::npos && host[port] == ':') host = host.substr(0, port);
  if (host.ends_with('.')) host.remove_suffix(1);
  return host;
}

bool has_value(const http::Field& field, const config::HeaderMatch& wanted) noexcept {
  if (!wanted.value || field.value == *wanted.value) return true;
  return field.id == http::FieldId::host && http::equals_ignore_case(bare_host(field.value), bare_host(*wanted.value));
}

}  // namespace

const filter::Route* find_route(const TenantRoutes& tenant, std::string_view path, std::string_view method,
                                const http::Fields& fields, bool peer_trusted) noexcept {
  const auto fits = [&](std::size_t i) {
    const config::RouteMatch& match = tenant.tenant.routes[i]->config->match;
    switch (match.kind) {
      case config::PathMatch::prefix:
        if (!covers_path(match.path, path)) return false;
        break;
      case config::PathMatch::exact:
        if (path != match.path) return false;
        break;
      case config::PathMatch::regex:
        if (!re2::RE2::FullMatch(re2::StringPiece(path.data(), path.size()), *tenant.expressions[i])) return false;
        break;
    }
    if (!match.methods.empty() && std::ranges::find(match.methods, method) == match.methods.end()) return false;
    return std::ranges::all_of(match.headers, [&](const config::HeaderMatch& header) {
      return std::ranges::any_of(fields.all(), [&](const http::Field& field) {
        return http::equals_ignore_case(field.name, header.name) && has_value(field, header) &&
               filter::is_believed_field(field, fields, peer_trusted);
      });
    });
  };
  for (std::size_t i = 0; i < tenant.tenant.routes.size(); ++i)
    if (fits(i)) return tenant.tenant.routes[i].get();
  return nullptr;
}

}  // namespace gatehouse::proxy
