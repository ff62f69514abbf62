// What a WAF transaction costs: the library as a plain connector uses it, and ours. CPU time of the thread, CRS as
// Debian ships it, paranoia 1, response bodies not inspected.
//
// Usage: bench_waf_transaction [rounds [plain|ours [get|mix]]], the latter for profilers; run it also with LD_PRELOAD=libmimalloc.so.2, since the allocator decides.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "waf/base_rules.hpp"
#include "waf/library.hpp"
#include "waf/modsecurity.hpp"
#include "waf/waf.hpp"

namespace {

using namespace gatehouse;

struct Request {
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

Request bare() { return {"GET", "/", {{"Host", "localhost"}, {"User-Agent", "wrk"}, {"Accept", "*/*"}}, ""}; }

// A page's requests and an API client's: static files, lists with a token, a search, a form, a JSON order.
std::vector<Request> mix() {
  std::vector<Request> out;
  const auto browser = [](int i) {
    return std::vector<std::pair<std::string, std::string>>{
        {"Host", "localhost"},
        {"User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
        {"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
        {"Accept-Language", "de-DE,de;q=0.9,en;q=0.8"},
        {"Accept-Encoding", "gzip, deflate, br"},
        {"Cookie", fmt::format("session={:032x}; theme=dark; lang=de", i * 104729)}};
  };
  for (int i = 0; i < 50; ++i) {
    const int kind = i % 10;
    Request request{"GET", "", browser(i), ""};
    const auto with_body = [&](std::string type, std::string body) {
      request.method = "POST";
      request.headers.emplace_back("Content-Type", std::move(type));
      request.headers.emplace_back("Content-Length", std::to_string(body.size()));
      request.body = std::move(body);
    };
    if (kind < 4) {
      request.target = fmt::format("/assets/app-{:08x}.js?v={}", i * 40503, i);
    } else if (kind < 7) {
      request.target =
          fmt::format("/api/v1/customers/{}/orders?page={}&per_page=25&sort=created_at&status=open", 1000 + i, i % 9);
      std::string token = "Bearer ";
      for (int n = 0; n < 20; ++n) token += fmt::format("aZ9k{}", i);
      request.headers.emplace_back("Authorization", token);
    } else if (kind < 8) {
      request.target = fmt::format("/search?q=rote+schuhe+gr%C3%B6%C3%9Fe+{}&filter=price", i);
    } else if (kind < 9) {
      request.target = "/login";
      with_body("application/x-www-form-urlencoded",
                fmt::format(
                    "username=max.mustermann{}%40example.org&password=correct-horse-battery-{}&remember=1&csrf={:040x}",
                    i, i, i * 48271));
    } else {
      request.target = "/api/v1/orders";
      with_body(
          "application/json",
          fmt::format(
              R"({{"customer":{},"currency":"EUR","items":[{{"sku":"AB-{}","qty":2,"price":19.99}},{{"sku":"CD-{}","qty":1,"price":5.49}}],"shipping":{{"name":"Erika Musterfrau","street":"Hauptstr. {}","zip":"66111","city":"Saarbruecken"}},"note":"Bitte klingeln"}})",
              1000 + i, i, i + 7, i));
    }
    out.push_back(std::move(request));
  }
  return out;
}

std::unique_ptr<modsecurity::RulesSet> plain_set() {
  auto set = std::make_unique<modsecurity::RulesSet>();
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/share/modsecurity-crs/rules")) {
    if (entry.path().extension() == ".conf") files.insert(entry.path());
  }
  bool fine = set->load(std::string(waf::base_rules()).c_str()) >= 0 &&
              set->loadFromUri("/etc/modsecurity/crs/crs-setup.conf") >= 0;
  for (const std::string& file : files) fine = fine && set->loadFromUri(file.c_str()) >= 0;
  if (!fine) std::abort();
  waf::apply_properties({.request_body_bytes = 1024 * 1024}, *set);
  return set;
}

void run_plain(modsecurity::RulesSet& set, const Request& request) {
  modsecurity::Transaction t(&waf::thread_library(), &set, nullptr);
  t.processConnection("127.0.0.1", 50000, "127.0.0.1", 443);
  t.processURI(request.target.c_str(), request.method.c_str(), "1.1");
  for (const auto& [name, value] : request.headers) {
    t.addRequestHeader(reinterpret_cast<const unsigned char*>(name.data()), name.size(),
                       reinterpret_cast<const unsigned char*>(value.data()), value.size());
  }
  t.processRequestHeaders();
  if (!request.body.empty())
    t.appendRequestBody(reinterpret_cast<const unsigned char*>(request.body.data()), request.body.size());
  t.processRequestBody();
  t.addResponseHeader("Content-Type", "text/html");
  t.processResponseHeaders(200, "HTTP 1.1");
  t.processResponseBody();
  t.processLogging();
}

void run_ours(waf::Engine& engine, const waf::Policy& policy, const Request& request) {
  const auto t = engine.begin(policy,
                              {.request_id = "0123456789abcdef",
                               .client_ip = "127.0.0.1",
                               .client_port = 50000,
                               .server_ip = "127.0.0.1",
                               .server_port = 443,
                               .method = request.method,
                               .target = request.target,
                               .http_version = "1.1",
                               .host = "localhost",
                               .path = request.target},
                              engine.time_budget());
  for (const auto& [name, value] : request.headers) t->add_request_header(name, value);
  bool fine = t->request_headers() == waf::Step::proceed;
  if (!request.body.empty()) t->append_request_body(request.body);
  fine = fine && t->request_body() == waf::Step::proceed;
  t->add_response_header("Content-Type", "text/html");
  fine = fine && t->response_headers(200, "1.1") == waf::Step::proceed && t->response_body() == waf::Step::proceed;
  const waf::Outcome outcome = t->finish();
  if (!fine || !outcome.rules.empty()) {
    std::fprintf(stderr, "%s was not clean\n", request.target.c_str());
    std::exit(1);
  }
}

template <typename Run>
double microseconds(const std::vector<Request>& requests, int rounds, Run run) {
  double best = 1e9;  // the least of the rounds: what others do on the machine only adds
  for (int i = 0; i < rounds; ++i) {
    const double start = cpu_seconds();
    for (const Request& request : requests) run(request);
    best = std::min(best, (cpu_seconds() - start) * 1e6 / static_cast<double>(requests.size()));
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 40;
  config::PlatformWaf platform;
  platform.time_budget = config::Milliseconds(60'000);  // profilers are slow
  auto engine = waf::Engine::create(platform, {});
  if (!engine) return 1;
  config::Problems warnings;
  const auto policy = (*engine)->policy({}, config::TenantRules::yes, warnings);
  if (!policy) return 1;
  const auto set = plain_set();
  const std::vector<Request> one(50, bare());
  for (const auto& [name, requests] : {std::pair("get", one), std::pair("mix", mix())}) {
    if (argc > 3 && std::string_view(argv[3]) != name) continue;
    const std::string_view only = argc > 2 ? argv[2] : "";
    const double plain =
        only == "ours" ? 1 : microseconds(requests, rounds, [&](const Request& request) { run_plain(*set, request); });
    const double ours = only == "plain" ? 1 : microseconds(requests, rounds, [&](const Request& request) {
      run_ours(**engine, **policy, request);
    });
    std::printf("%s: library %.1f us, gatehouse %.1f us, ratio %.2f\n", name, plain, ours, ours / plain);
  }
}
