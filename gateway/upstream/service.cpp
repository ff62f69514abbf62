// Services; see service.hpp.
#include "gateway/upstream/service.hpp"

#include <algorithm>

namespace gatehouse::upstream {

CodeClass code_class(int status) noexcept {
  if (status == 499) return CodeClass::c499;
  switch (status / 100) {
    case 1: return CodeClass::c1xx;
    case 2: return CodeClass::c2xx;
    case 3: return CodeClass::c3xx;
    case 4: return CodeClass::c4xx;
    default: return CodeClass::c5xx;
  }
}

const char* code_class_name(CodeClass code) noexcept {
  static constexpr const char* names[] = {"1xx", "2xx", "3xx", "4xx", "5xx", "499"};
  return names[static_cast<std::size_t>(code)];
}

Service::Service(const config::Service& configuration, const std::string& gateway_site, std::size_t workers)
    : config(configuration), load(workers) {
  for (const config::Site& site : config.sites) {
    ServiceSite made;
    made.name = site.name;
    for (const SocketAddress& address : site.endpoints)
      made.endpoints.push_back({address, address.to_string(), nullptr});
    sites.push_back(std::move(made));
  }
  if (const auto own = std::ranges::find(sites, gateway_site, &ServiceSite::name); own != sites.end())
    std::rotate(sites.begin(), own, own + 1);  // own site first, the others in the file's order
  for (ServiceLoad& worker : load)
    for (const ServiceSite& site : sites)
      worker.sites.push_back({0, std::vector<std::uint32_t>(site.endpoints.size()),
                              std::vector<std::shared_ptr<ConnectionPool>>(site.endpoints.size())});
}

namespace {

bool was_tried(std::span<const Service::Choice> tried, std::size_t site, std::size_t endpoint) noexcept {
  return std::ranges::any_of(
      tried, [&](const Service::Choice& choice) { return choice.site == site && choice.endpoint == endpoint; });
}

}  // namespace

std::string Service::tls_name(const Endpoint& endpoint, std::string_view host) const {
  if (!config.tls.server_name.empty()) return config.tls.server_name;
  if (host.empty()) host = usual_host;
  if (host.empty()) return endpoint.address.ip.to_string();
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return std::string(host);
}

Service::Choice Service::choose(unsigned worker, std::span<const Choice> tried) const noexcept {
  ServiceLoad& mine = load[worker];
  // The usual case without a list: walk the sites in order and stop at the first that has somebody.
  for (std::size_t s = 0; s < sites.size(); ++s) {
    const ServiceSite& site = sites[s];
    ServiceLoad::Site& site_load = mine.sites[s];
    constexpr std::size_t inline_endpoints = 64;
    const auto view_of = [&](std::size_t e) {
      return EndpointView{site.endpoints[e].healthy(), was_tried(tried, s, e), site_load.in_flight[e]};
    };
    std::size_t chosen = none;
    if (site.endpoints.size() <= inline_endpoints) {
      std::array<EndpointView, inline_endpoints> views;
      for (std::size_t e = 0; e < site.endpoints.size(); ++e) views[e] = view_of(e);
      chosen = choose_endpoint(config.balance, {views.data(), site.endpoints.size()}, site_load.cursor);
    } else {
      std::vector<EndpointView> views(site.endpoints.size());
      for (std::size_t e = 0; e < views.size(); ++e) views[e] = view_of(e);
      chosen = choose_endpoint(config.balance, views, site_load.cursor);
    }
    if (chosen != none) return {s, chosen};
  }
  return {};
}

bool Service::has_alternative(std::span<const Choice> tried, const Choice& choice) const noexcept {
  for (std::size_t s = 0; s < sites.size(); ++s)
    for (std::size_t e = 0; e < sites[s].endpoints.size(); ++e)
      if (Choice{s, e} != choice && !was_tried(tried, s, e) && sites[s].endpoints[e].healthy()) return true;
  return false;
}

std::size_t Service::active_site() const noexcept {
  for (std::size_t s = 0; s < sites.size(); ++s)
    if (std::ranges::any_of(sites[s].endpoints, [](const Endpoint& endpoint) { return endpoint.healthy(); })) return s;
  return none;
}

}  // namespace gatehouse::upstream
