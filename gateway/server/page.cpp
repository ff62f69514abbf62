// The operator's page; see page.hpp.
#include "gateway/server/page.hpp"

namespace gatehouse::server {

std::string status_page() {
  // Values are set as text content, never as markup: nothing in a tenant's file can become part of the page's code.
  return R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Gatehouse</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1d2330; background: #fbfbfc; }
  h1 { font-size: 1.4rem; margin: 0 0 .2rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }
  table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #e3e5ea; vertical-align: top; }
  th { font-weight: 600; color: #59627a; } .bad { color: #b3261e; font-weight: 600; } .good { color: #1b7f4b; } .quiet { color: #59627a; }
</style>
</head>
<body>
<h1>Gatehouse</h1>
<div id="summary" class="quiet">loading</div>
<h2>Tenants</h2><table id="tenants"><thead><tr><th>tenant</th><th>configuration</th><th>WAF</th><th>hosts</th><th>requests in flight</th></tr></thead><tbody></tbody></table>
<h2>Endpoints</h2><table id="endpoints"><thead><tr><th>tenant</th><th>service</th><th>site</th><th>endpoint</th><th>health</th></tr></thead><tbody></tbody></table>
<h2>Limits</h2><table id="limits"><thead><tr><th>tenant</th><th>limit</th><th>rate</th><th>allowed</th><th>limited</th></tr></thead><tbody></tbody></table>
<h2>Certificates</h2><table id="certificates"><thead><tr><th>host</th><th>issuer</th><th>valid until</th></tr></thead><tbody></tbody></table>
<script>
const fill = (id, rows) => {
  const body = document.querySelector('#' + id + ' tbody');
  body.replaceChildren(...rows.map(cells => {
    const row = document.createElement('tr');
    for (const cell of cells) {
      const td = document.createElement('td');
      const [text, kind] = Array.isArray(cell) ? cell : [cell, ''];
      td.textContent = text; td.className = kind; row.append(td);
    }
    return row;
  }));
};
const load = async () => {
  const summary = document.getElementById('summary');
  try {
    const s = await (await fetch('/status')).json();
    summary.textContent = `version ${s.version}, site ${s.site}, ${s.workers.length} workers, ` + (s.ready ? 'ready' : 'not ready') + `, up ${Math.round(s.uptime_seconds)} s`;
    summary.className = s.ready ? 'quiet' : 'bad';
    fill('tenants', s.tenants.map(t => [t.name, t.valid ? ['valid', 'good'] : [t.serving ? 'invalid: last valid version, or what is valid of it, serves' : 'invalid: not served', 'bad'],
      t.waf, t.hosts.map(h => h.name).join(', '), t.requests_in_flight]));
    fill('endpoints', s.tenants.flatMap(t => t.services.flatMap(v => v.sites.flatMap(site => site.endpoints.map(e =>
      [t.name, v.name, site.name + (site.active ? ' (active)' : ''), e.address, !e.checked ? ['not checked', 'quiet'] : e.healthy ? ['healthy', 'good'] : ['unhealthy', 'bad']])))));
    fill('limits', s.tenants.flatMap(t => [
      ...['requests_in_flight', 'connections'].filter(l => t.limits[l]).map(l => [t.name, l.replaceAll('_', ' '), 'at most ' + t.limits[l], '', '']),
      ...t.rate_limits.map(l => [t.name, l.name + (l.shadow ? ' (shadow)' : ''), `${l.tokens} in ${l.period_ms / 1000} s, burst ${l.burst}`, l.allowed, l.limited])]));
    fill('certificates', s.tenants.flatMap(t => t.hosts.filter(h => h.certificate).map(h => [h.name, h.certificate.issuer, h.certificate.not_after])));
  } catch (error) { summary.textContent = 'the gateway does not answer'; summary.className = 'bad'; }
};
load(); setInterval(load, 2000);
</script>
</body>
</html>
)";
}

}  // namespace gatehouse::server
