// What our loop decides is what libmodsecurity's own loop decides: the same rules match, in the same order, with the
// same score and status. Ours skips rules that have nothing to look at; these tests would see a rule that it should
// not have skipped.
#include <filesystem>
#include <mutex>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "waf/base_rules.hpp"
#include "waf/library.hpp"
#include "waf/modsecurity.hpp"
#include "waf/phase_runner.hpp"
#include "waf_fixture.hpp"

namespace gatehouse::waf::testing {
namespace {

// The same rules in the same order, as any other connector would load them.
std::unique_ptr<modsecurity::RulesSet> plain_set(unsigned paranoia) {
  auto set = std::make_unique<modsecurity::RulesSet>();
  const std::lock_guard lock(parse_mutex());
  const auto load = [&](const std::string& text) { EXPECT_GE(set->load(text.c_str()), 0) << set->getParserError(); };
  load(std::string(base_rules()));
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/share/modsecurity-crs/rules")) {
    if (entry.path().extension() == ".conf") files.insert(entry.path());
  }
  EXPECT_GE(set->loadFromUri("/etc/modsecurity/crs/crs-setup.conf"), 0);
  const std::string level = std::to_string(paranoia);
  load("SecAction \"id:1,phase:1,pass,nolog,setvar:tx.paranoia_level=" + level +
       ",setvar:tx.executing_paranoia_level=" + level +
       ",setvar:tx.inbound_anomaly_score_threshold=5,setvar:tx.outbound_anomaly_score_threshold=4\"");
  for (const std::string& file : files) EXPECT_GE(set->loadFromUri(file.c_str()), 0) << set->getParserError();
  load("SecRuleRemoveById 901321 949100 910000-910999 912000-912999");
  apply_properties({.block = true, .response_body = true, .request_body_bytes = 1024 * 1024}, *set);
  return set;
}

struct Verdict {
  std::vector<std::uint32_t> rules;
  bool denied = false;
  int status = 0;

  bool operator==(const Verdict&) const = default;
};

void PrintTo(const Verdict& verdict, std::ostream* out) {
  *out << (verdict.denied ? "denied with " + std::to_string(verdict.status) : "passed") << ", rules";
  for (const auto id : verdict.rules) *out << ' ' << id;
}

Verdict plain_verdict(modsecurity::RulesSet& set, const Request& request) {
  char id[] = "0123456789abcdef";
  modsecurity::Transaction t(&thread_library(), &set, id, nullptr);
  Verdict verdict;
  const auto decided = [&] {
    modsecurity::ModSecurityIntervention it{};
    if (!t.intervention(&it)) return false;
    std::free(it.url);
    std::free(it.log);
    verdict.denied = true;
    verdict.status = it.status;
    return true;
  };
  t.processConnection("203.0.113.9", 50000, "192.0.2.1", 443);
  t.processURI(request.target.c_str(), request.method.c_str(), "1.1");
  for (const auto& [name, value] : request.headers) t.addRequestHeader(name, value);
  t.processRequestHeaders();
  if (!decided()) {
    t.appendRequestBody(reinterpret_cast<const unsigned char*>(request.body.data()), request.body.size());
    t.processRequestBody();
    if (!decided()) {
      for (const auto& [name, value] : request.response_headers) t.addResponseHeader(name, value);
      t.processResponseHeaders(request.response_status, "HTTP/1.1");
      if (!decided()) {
        t.appendResponseBody(reinterpret_cast<const unsigned char*>(request.response_body.data()),
                             request.response_body.size());
        t.processResponseBody();
        decided();
      }
    }
  }
  t.processLogging();
  for (const modsecurity::RuleMessage& message : t.m_rulesMessages) {
    const auto rule = static_cast<std::uint32_t>(message.m_ruleId);
    if (std::find(verdict.rules.begin(), verdict.rules.end(), rule) == verdict.rules.end())
      verdict.rules.push_back(rule);
  }
  return verdict;
}

Verdict our_verdict(const Policy& policy, const Request& request) {
  const Result result = run(policy, request);
  EXPECT_FALSE(result.outcome.engine_error);
  return {ids(result.outcome), result.outcome.denied, result.outcome.denied ? result.outcome.status : 0};
}

std::vector<Request> corpus() {
  const std::string form = "application/x-www-form-urlencoded";
  const std::string multipart = "multipart/form-data; boundary=xyz";
  std::vector<Request> out;
  const std::vector<std::string> values{"hello",
                                        "a+b%20c",
                                        "O%27Reilly",
                                        "1%27%20or%201%3D1--%20",
                                        "%3Cscript%3Ealert(1)%3C/script%3E",
                                        "../../etc/passwd",
                                        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
                                        ";cat%20/etc/passwd",
                                        "%00",
                                        "%u0027",
                                        "$(id)",
                                        "php://input",
                                        "http://1.2.3.4/x.php",
                                        "%3C?php%20phpinfo();%3F%3E",
                                        "union%20select%201,2,3",
                                        "javascript:alert(1)",
                                        "%F0%9F%98%80",
                                        "%ff%fe",
                                        "a%0d%0aSet-Cookie:x=y",
                                        "%7B%7B7*7%7D%7D",
                                        "require('child_process')",
                                        "%25%27",
                                        "sleep(5)",
                                        "admin%27--",
                                        "java.lang.Runtime",
                                        "${jndi:ldap://x/a}",
                                        "x%3D1%26y%3D2",
                                        "",
                                        "%",
                                        "%zz",
                                        "cmd.exe%20/c%20dir",
                                        "SELECT%20*%20FROM%20users",
                                        "0x31303235343830303536"};
  for (const std::string& value : values) {
    out.push_back(get("/?q=" + value));
    out.push_back(get("/a/" + value + "/b?c"));
    out.push_back(post(form, "a=1&q=" + value + "&b=2", "/submit?x=1"));
    out.push_back(
        post(multipart, "--xyz\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n" + value + "\r\n--xyz--\r\n"));
    Request cookie = get("/");
    cookie.header("Cookie", "sid=1; q=" + value);
    out.push_back(cookie);
    Request referer = get("/x.php");
    referer.header("Referer", "https://shop.example.de/?" + value);
    out.push_back(referer);
  }
  for (const std::string body : {R"({"a":1})", R"({"a":{"b":["x","1' or 1=1-- ",null,true]}})", "{", "",
                                 R"(["<script>alert(1)</script>"])", "nonsense"}) {
    out.push_back(post("application/json", body));
  }
  for (const std::string body :
       {"<a b=\"c\">d</a>", "<a>1' or 1=1-- </a>", "<a", "<a x=\"<script>\">y</a>", "<!DOCTYPE a><a>&b;</a>"}) {
    out.push_back(post("text/xml", body));
  }
  out.push_back(post(multipart,
                     "--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.php\"\r\nContent-Type: "
                     "text/plain\r\n\r\n<?php\r\n--xyz--\r\n"));
  out.push_back(
      post(multipart, "--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a;b.txt\"\r\n\r\nx\r\n--xyz"));
  out.push_back(post(multipart, "nonsense"));
  out.push_back(post("text/plain", "1' or 1=1-- "));
  out.push_back(post("application/octet-stream", std::string("\0\1\2", 3)));
  for (const char* method : {"PUT", "DELETE", "TRACE", "OPTIONS", "HEAD", "PROPFIND"}) {
    Request request = get("/");
    request.method = method;
    out.push_back(request);
  }
  for (const char* path : {"/.git/config", "/.env", "/wp-config.php~", "/backup.sql", "/x.asa", "//a//b",
                           "/a;jsessionid=1", "/index.php?a[]=1&a[]=2&b[c]=d"})
    out.push_back(get(path));
  Request bare = get("/");
  bare.headers = {{"Host", "192.0.2.1"}};
  out.push_back(bare);
  Request scanner = get("/");
  scanner.headers[1].second = "sqlmap/1.0";
  out.push_back(scanner);
  Request odd = get("/");
  odd.header("Content-Encoding", "gzip")
      .header("Range", "bytes=0-,1-,2-,3-,4-,5-")
      .header("Connection", "close, keep-alive")
      .header("X-Forwarded-For", "1.2.3.4");
  out.push_back(odd);
  Request leak = get("/");
  leak.response_status = 500;
  leak.response_headers.emplace_back("X-Powered-By", "PHP/5");
  leak.response_body =
      "<b>Fatal error</b>: You have an error in your SQL syntax near '' at line 1 in /var/www/html/x.php";
  out.push_back(leak);
  return out;
}

class Equivalence : public ::testing::TestWithParam<unsigned> {};

TEST_P(Equivalence, OurLoopDecidesAsTheLibrarys) {
  const auto set = plain_set(GetParam());
  config::TenantConfig config = tenant();
  config.waf.paranoia = GetParam();
  config.waf.inspect_response_body = true;
  const auto policy = policy_of(config);
  std::size_t number = 0;
  for (const Request& request : corpus()) {
    const Verdict ours = our_verdict(*policy, request);
    EXPECT_EQ(ours, plain_verdict(*set, request))
        << "request " << number << ": " << request.method << ' ' << request.target << "\n"
        << request.body;
    PhaseRunner::run_everything(true);
    EXPECT_EQ(ours, our_verdict(*policy, request)) << "request " << number;
    PhaseRunner::run_everything(false);
    ++number;
  }
}

INSTANTIATE_TEST_SUITE_P(Paranoia, Equivalence, ::testing::Values(1u, 4u));

}  // namespace
}  // namespace gatehouse::waf::testing
