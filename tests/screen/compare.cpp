// The screen against the engine: requests of a corpus, and requests made of them, through both. What the screen lets pass
// must be clean to the engine.
//
// Usage: screen_compare [--rules GLOB]... [--paranoia N] [--repeat N] [--show] [--mutations N [--seed S]] FILE.jsonl...
// A file has a request in each line, as tests/crs/benign/README.md says. Prints how many the screen decided, why it did
// not, by doubt and by rule, and what both cost; exit 1 when the two disagreed. A mutation's number is its seed.
#include <time.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "mutation.hpp"
#include "request.hpp"
#include "waf/policy.hpp"
#include "waf/screen/screen.hpp"
#include "waf/waf.hpp"

using namespace gatehouse;
using screen_test::Request;

namespace {

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Verdict {
  bool clean = false;
  bool unread = false;  // the body
  bool ran_out = false;  // of time
  std::string rules;
};

Verdict ask_engine(waf::Engine& engine, const waf::Policy& policy, const Request& request) {
  std::string escaped;
  const auto transaction = engine.begin(policy, screen_test::start_of(request, escaped), std::chrono::seconds(10));
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
                           outcome.inbound_score == 0,
                  .unread = outcome.body_unread,
                  .ran_out = transaction->ran_out_of_time(),
                  .rules = {}};
  for (const auto& rule : outcome.rules) verdict.rules += fmt::format(" {}", rule.id);
  return verdict;
}

/// What came of some requests.
struct Counts {
  std::size_t requests = 0;
  std::size_t screened = 0;
  std::size_t clean = 0;
  std::size_t wrong = 0;
  // How often the screen had this reason not to decide, and of these how often the engine found nothing.
  std::map<std::string, std::pair<std::size_t, std::size_t>> reasons;
  std::map<std::string, std::size_t> findings;  // of the engine
  double screen_seconds = 0;
  double engine_seconds = 0;

  void add(const Counts& other) {
    requests += other.requests;
    screened += other.screened;
    clean += other.clean;
    wrong += other.wrong;
    for (const auto& [reason, count] : other.reasons) {
      reasons[reason].first += count.first;
      reasons[reason].second += count.second;
    }
    for (const auto& [finding, count] : other.findings) findings[finding] += count;
    screen_seconds += other.screen_seconds;
    engine_seconds += other.engine_seconds;
  }
};

class Comparison {
 public:
  Comparison(waf::Engine& engine, const waf::Policy& policy, const waf::screen::Program& program, int repeat, bool show)
      : engine_(engine), policy_(policy), screen_(program), repeat_(repeat), show_(show) {}

  /// `name`: by which the request can be found again.
  void compare(const Request& request, const std::string& name) {
    const double before = cpu_seconds();
    bool passes = false;
    std::string escaped;
    for (int i = 0; i < repeat_; ++i) {
      reading_.clear();
      reading_.begin(screen_test::start_of(request, escaped));
      for (const auto& [field, value] : request.headers) reading_.add_header(field, value);
      reading_.end_head();
      passes = screen_.passes_head(reading_);
      if (passes) {
        reading_.read_body(request.body);
        passes = screen_.passes_body(reading_);
      }
    }
    const double middle = cpu_seconds();
    const Verdict verdict = ask_engine(engine_, policy_, request);
    counts_.screen_seconds += middle - before;
    counts_.engine_seconds += cpu_seconds() - middle;
    ++counts_.requests;
    counts_.screened += passes ? 1 : 0;
    counts_.clean += verdict.clean ? 1 : 0;
    if (!verdict.clean) ++counts_.findings[verdict.rules];
    const bool unlike = verdict.unread != reading_.body_unparsed();
    if (passes && !verdict.ran_out && (!verdict.clean || unlike)) {
      ++counts_.wrong;
      static std::mutex mutex;
      const std::lock_guard lock(mutex);
      fmt::print("DISAGREE {}: {} {} rules{}{}\n", name, request.method, request.target.substr(0, 300), verdict.rules,
                 unlike ? " (whether the body is parsed)" : "");
      std::cout.flush();
    }
    if (passes) return;
    const std::string reason = reading_.doubt() != waf::screen::Doubt::none
                                   ? std::string(name_of(reading_.doubt()))
                                   : fmt::format("rule {}", screen_.doubtful_rule());
    auto& count = counts_.reasons[reason];
    ++count.first;
    count.second += verdict.clean ? 1 : 0;
    if (show_ && verdict.clean) fmt::print("{} {} {}\n", reason, request.method, request.target.substr(0, 150));
  }

  [[nodiscard]] const Counts& counts() const noexcept { return counts_; }

 private:
  waf::Engine& engine_;
  const waf::Policy& policy_;
  waf::screen::Reading reading_;
  waf::screen::Screen screen_;
  int repeat_;
  bool show_;
  Counts counts_;
};

void print(const Counts& counts, int repeat) {
  const auto all = static_cast<double>(counts.requests);
  fmt::print(
      "{} requests: {} screened ({:.2f} %), {} clean to the engine, {} wrong; {:.1f} us a request by the screen, "
      "{:.1f} by the engine\n",
      counts.requests, counts.screened, static_cast<double>(counts.screened) / all * 100, counts.clean, counts.wrong,
      counts.screen_seconds / all / repeat * 1e6, counts.engine_seconds / all * 1e6);
  std::vector<std::pair<std::string, std::pair<std::size_t, std::size_t>>> sorted(counts.reasons.begin(),
                                                                                  counts.reasons.end());
  std::ranges::sort(sorted, [](const auto& a, const auto& b) { return a.second.first > b.second.first; });
  for (const auto& [reason, count] : sorted)
    fmt::print("  {:24} {:6}, clean to the engine {}\n", reason, count.first, count.second);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The screen against the engine");
  std::vector<std::string> rules{"/etc/modsecurity/crs/crs-setup.conf", "/usr/share/modsecurity-crs/rules/*.conf"};
  unsigned paranoia = 1;
  int repeat = 1;
  bool show = false;
  std::uint64_t mutations = 0;
  std::uint64_t seed = 1;
  std::vector<std::string> files;
  app.add_option("--rules", rules);
  app.add_option("--paranoia", paranoia);
  app.add_option("--repeat", repeat);
  app.add_flag("--show", show, "each request that is not screened although the engine finds it clean");
  app.add_option("--mutations", mutations, "requests made of those in the files, instead of them");
  app.add_option("--seed", seed, "of the first mutation");
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
  for (const std::string& file : files)
    for (Request& request : screen_test::read_requests(file)) requests.push_back(std::move(request));

  Counts counts;
  if (mutations == 0) {
    Comparison comparison(**engine, **policy, program, repeat, show);
    for (const Request& request : requests) comparison.compare(request, "recorded");
    counts = comparison.counts();
  } else {
    std::mutex mutex;
    std::vector<std::jthread> threads;
    const unsigned workers = std::max(1U, std::thread::hardware_concurrency());
    for (unsigned worker = 0; worker < workers; ++worker)
      threads.emplace_back([&, worker] {
        Comparison comparison(**engine, **policy, program, repeat, show);
        for (std::uint64_t i = worker; i < mutations; i += workers)
          comparison.compare(screen_test::mutated(requests[(seed + i) % requests.size()], seed + i, requests),
                             fmt::format("seed {}", seed + i));
        const std::lock_guard lock(mutex);
        counts.add(comparison.counts());
      });
    threads.clear();
  }
  print(counts, repeat);
  fmt::print("what the engine found:\n");
  std::vector<std::pair<std::string, std::size_t>> findings(counts.findings.begin(), counts.findings.end());
  std::ranges::sort(findings, [](const auto& a, const auto& b) { return a.second > b.second; });
  if (findings.size() > 40) findings.resize(40);
  for (const auto& [found, count] : findings) fmt::print("  {:6} {}\n", count, found);
  return counts.wrong == 0 ? 0 : 1;
}
