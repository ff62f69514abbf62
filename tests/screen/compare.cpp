// The screen against the engine: requests of a corpus through both. What the screen lets pass must be clean to the engine.
//
// Usage: screen_compare [--rules GLOB]... [--paranoia N] [--repeat N] [--show] FILE.jsonl...
// A file has a request in each line, as tests/crs/benign/README.md says. Prints how many the screen decided, why it did
// not, by doubt and by rule, and what both cost; exit 1 when the two disagreed.
#include <time.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "waf/policy.hpp"
#include "waf/screen/screen.hpp"
#include "waf/waf.hpp"

using namespace gatehouse;

namespace {

struct Request {
  std::string method;
  std::string target;  // as received
  std::string escaped;  // as the engine is given it
  std::string version;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

std::string from_base64(std::string_view text) {
  static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::size_t digit = digits.find(c);
    if (digit == std::string_view::npos) break;
    bits = bits << 6 | static_cast<unsigned>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xFF);
  }
  return out;
}

std::string latin1(const std::string& utf8) {
  std::string out;
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto byte = static_cast<unsigned char>(utf8[i]);
    if (byte < 0x80 || i + 1 == utf8.size())
      out += utf8[i];
    else
      out += static_cast<char>((byte & 0x03) << 6 | (static_cast<unsigned char>(utf8[++i]) & 0x3F));
  }
  return out;
}

Request parse(const std::string& line) {
  const auto json = nlohmann::json::parse(line);
  const std::string head = latin1(json.at("head").get<std::string>());
  Request request;
  request.body = from_base64(json.at("body").get<std::string>());
  std::size_t at = head.find("\r\n");
  const std::string first = head.substr(0, at);
  const std::size_t blank = first.find(' ');
  const std::size_t last = first.rfind(' ');
  request.method = first.substr(0, blank);
  request.target = first.substr(blank + 1, last - blank - 1);
  request.version = first.substr(last + 6);
  for (at += 2; at < head.size();) {
    const std::size_t end = head.find("\r\n", at);
    if (end == std::string::npos || end == at) break;
    const std::string field = head.substr(at, end - at);
    const std::size_t colon = field.find(':');
    std::size_t begin = colon + 1;
    while (begin < field.size() && field[begin] == ' ') ++begin;
    request.headers.emplace_back(field.substr(0, colon), field.substr(begin));
    at = end + 2;
  }
  for (std::size_t i = 0; i < request.target.size(); ++i) {
    const bool question = request.target.compare(i, 3, "%3f") == 0 || request.target.compare(i, 3, "%3F") == 0;
    request.escaped += request.target[i];
    if (question) request.escaped += "25";
  }
  return request;
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

waf::RequestStart start_of(const Request& request) {
  waf::RequestStart start;
  start.request_id = "0123456789abcdef";
  start.client_ip = "198.51.100.7";
  start.client_port = 40000;
  start.server_ip = "127.0.0.1";
  start.server_port = 443;
  start.method = request.method;
  start.target = request.escaped;
  start.received = request.target;
  start.http_version = request.version;
  const std::string_view target = request.target;
  start.path = target.substr(0, target.find('?'));
  return start;
}

struct Verdict {
  bool clean = false;
  std::string rules;
};

Verdict ask_engine(waf::Engine& engine, const waf::Policy& policy, const Request& request) {
  const auto transaction = engine.begin(policy, start_of(request), std::chrono::seconds(10));
  for (const auto& [name, value] : request.headers) transaction->add_request_header(name, value);
  waf::Step step = transaction->request_headers();
  if (step == waf::Step::proceed && !request.body.empty()) transaction->append_request_body(request.body);
  if (step == waf::Step::proceed) step = transaction->request_body();
  if (step == waf::Step::proceed) {
    transaction->add_response_header("Content-Type", "text/html");
    step = transaction->response_headers(200, "1.1");
  }
  const waf::Outcome outcome = transaction->finish();
  Verdict verdict{.clean = step == waf::Step::proceed && outcome.rules.empty() && !outcome.engine_error &&
                           !outcome.body_unread && outcome.inbound_score == 0};
  for (const auto& rule : outcome.rules) {
    verdict.rules += fmt::format(" {}", rule.id);
  }
  return verdict;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The screen against the engine");
  std::vector<std::string> rules{"/etc/modsecurity/crs/crs-setup.conf", "/usr/share/modsecurity-crs/rules/*.conf"};
  unsigned paranoia = 1;
  int repeat = 1;
  bool show = false;
  std::vector<std::string> files;
  app.add_option("--rules", rules);
  app.add_option("--paranoia", paranoia);
  app.add_option("--repeat", repeat);
  app.add_flag("--show", show, "each request that is not screened although the engine finds it clean");
  app.add_option("files", files)->required();
  CLI11_PARSE(app, argc, argv);

  config::PlatformWaf platform;
  platform.rules = rules;
  auto engine = waf::Engine::create(platform, {});
  if (!engine) {
    for (const auto& problem : engine.error()) fmt::print(stderr, "{}\n", problem.message);
    return 2;
  }
  config::TenantConfig tenant;
  tenant.waf.mode = config::WafMode::block;
  tenant.waf.paranoia = paranoia;
  config::Problems warnings;
  const double begin = cpu_seconds();
  auto policy = (*engine)->policy(tenant, config::TenantRules{}, warnings);
  if (!policy) {
    for (const auto& problem : policy.error()) fmt::print(stderr, "{}\n", problem.message);
    return 2;
  }
  const auto& program = static_cast<const waf::RulePolicy&>(**policy).program();
  fmt::print("policy made in {:.2f} s; {} rules to be shown not to match\n", cpu_seconds() - begin,
             program.rules().size());
  for (const auto& residual : program.residual()) fmt::print("residual {}: {}\n", residual.rule, residual.why);

  std::vector<Request> requests;
  for (const std::string& file : files) {
    std::ifstream stream(file);
    for (std::string line; std::getline(stream, line);) requests.push_back(parse(line));
  }
  waf::screen::Reading reading;
  waf::screen::Screen screen(program);
  std::size_t screened = 0;
  std::size_t clean = 0;
  std::size_t wrong = 0;
  std::map<std::string, std::pair<std::size_t, std::size_t>>
      reasons;  // how often, and of these how often the engine found nothing
  std::map<std::string, std::size_t> findings;  // of the engine
  double screen_seconds = 0;
  double engine_seconds = 0;
  for (const Request& request : requests) {
    const double before = cpu_seconds();
    bool passes = false;
    for (int i = 0; i < repeat; ++i) {
      reading.clear();
      reading.begin(start_of(request));
      for (const auto& [name, value] : request.headers) reading.add_header(name, value);
      reading.end_head();
      passes = screen.passes_head(reading);
      if (passes) {
        reading.read_body(request.body);
        passes = screen.passes_body(reading);
      }
    }
    const double middle = cpu_seconds();
    const Verdict verdict = ask_engine(**engine, **policy, request);
    screen_seconds += middle - before;
    engine_seconds += cpu_seconds() - middle;
    screened += passes ? 1 : 0;
    clean += verdict.clean ? 1 : 0;
    if (!verdict.clean) ++findings[verdict.rules];
    if (passes && !verdict.clean) {
      ++wrong;
      fmt::print("DISAGREE {} {}: rules{}\n", request.method, request.target, verdict.rules);
    }
    if (!passes) {
      const std::string reason = reading.doubt() != waf::screen::Doubt::none
                                     ? std::string(name_of(reading.doubt()))
                                     : fmt::format("rule {}", screen.doubtful_rule());
      auto& count = reasons[reason];
      ++count.first;
      count.second += verdict.clean ? 1 : 0;
      if (show && verdict.clean) fmt::print("{} {} {}\n", reason, request.method, request.target.substr(0, 150));
    }
  }
  const auto all = static_cast<double>(requests.size());
  fmt::print(
      "{} requests: {} screened ({:.2f} %), {} clean to the engine, {} wrong; {:.1f} us a request by the screen, "
      "{:.1f} by the engine\n",
      requests.size(), screened, static_cast<double>(screened) / all * 100, clean, wrong,
      screen_seconds / all / repeat * 1e6, engine_seconds / all * 1e6);
  std::vector<std::pair<std::string, std::pair<std::size_t, std::size_t>>> sorted(reasons.begin(), reasons.end());
  std::ranges::sort(sorted, [](const auto& a, const auto& b) { return a.second.first > b.second.first; });
  for (const auto& [reason, count] : sorted)
    fmt::print("  {:24} {:6}, clean to the engine {}\n", reason, count.first, count.second);
  fmt::print("what the engine found:\n");
  for (const auto& [found, count] : findings) fmt::print("  {:6} {}\n", count, found);
  return wrong == 0 ? 0 : 1;
}
