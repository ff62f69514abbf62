// Hosts, the parts of a target, and paths.
#include <gtest/gtest.h>

#include <random>

#include "gateway/http/validate.hpp"
#include "judge.hpp"

namespace gatehouse::http {
namespace {

TEST(RequestTargetTest, TakesTheTargetApart) {
  const std::string message = "GET /a/../b?c=%2e&d HTTP/1.1\r\nHost: A.Example.:8080\r\n\r\n";
  RequestHead head;
  const Judgement judgement = judge_request(message, head);
  ASSERT_EQ(judgement.outcome, Outcome(ParseStatus::complete));
  EXPECT_EQ(judgement.target.host, "a.example");
  EXPECT_EQ(judgement.target.port, 8080);
  EXPECT_EQ(judgement.target.as_received, "/a/../b?c=%2e&d");
  EXPECT_EQ(judgement.target.path, "/b");
  EXPECT_EQ(judgement.target.query, "c=%2e&d");
  EXPECT_TRUE(judgement.target.has_query);
}

TEST(RequestTargetTest, TellsAnEmptyQueryFromNone) {
  RequestHead head;
  EXPECT_TRUE(judge_request(get_target("/a?"), head).target.has_query);
  EXPECT_FALSE(judge_request(get_target("/a"), head).target.has_query);
}

TEST(RequestTargetTest, ReducesAbsoluteFormToItsPath) {
  RequestHead head;
  const std::string message = get_target("http://a.example/x//y?z");
  const Judgement judgement = judge_request(message, head);
  EXPECT_EQ(judgement.target.as_received, "/x//y?z");
  EXPECT_EQ(judgement.target.path, "/x/y");
  EXPECT_EQ(judgement.target.port, 0);
  const std::string bare = get_target("http://a.example");
  EXPECT_EQ(judge_request(bare, head).target.as_received, "/");
}

// RFC 9110 section 4.2.1: path-abempty may be empty before a query.
TEST(RequestTargetTest, GivesAbsoluteFormWithAQueryAloneItsPath) {
  RequestHead head;
  const std::string message = get_target("http://a.example?z=1");
  Judgement judgement = judge_request(message, head);
  ASSERT_EQ(judgement.outcome, Outcome(ParseStatus::complete));
  const RequestTarget target = std::move(judgement.target);
  EXPECT_EQ(target.as_received, "/?z=1");
  EXPECT_EQ(target.path, "/");
  EXPECT_EQ(target.query, "z=1");
}

// RFC 3986 section 3.2.3: port = *DIGIT.
TEST(RequestTargetTest, TakesAnEmptyPortForNone) {
  RequestHead head;
  const Judgement judgement = judge_request("GET / HTTP/1.1\r\nHost: a.example:\r\n\r\n", head);
  ASSERT_EQ(judgement.outcome, Outcome(ParseStatus::complete));
  EXPECT_EQ(judgement.target.host, "a.example");
  EXPECT_EQ(judgement.target.port, 0);
  EXPECT_EQ(without_empty_port("a.example:"), "a.example");
  EXPECT_EQ(without_empty_port("[::1]:"), "[::1]");
  EXPECT_EQ(without_empty_port("a.example:80"), "a.example:80");
}

TEST(RequestTargetTest, TellsWhetherAbsoluteFormSaysHttps) {
  RequestHead head;
  for (const char* target : {"https://a.example/x", "HTTPS://a.example:443", "https://a.example/http://b"}) {
    const std::string message = get_target(target);
    EXPECT_TRUE(judge_request(message, head).target.is_https) << target;
  }
  for (const char* target : {"http://a.example/x", "/https://a.example", "/x?https://a.example"}) {
    const std::string message = get_target(target);
    EXPECT_FALSE(judge_request(message, head).target.is_https) << target;
  }
}

TEST(RequestTargetTest, TakesTheHostOfAbsoluteFormInHttp10) {
  RequestHead head;
  const std::string message = "GET http://B.example:81/x HTTP/1.0\r\n\r\n";
  const Judgement judgement = judge_request(message, head);
  EXPECT_EQ(judgement.target.host, "b.example");
  EXPECT_EQ(judgement.target.port, 81);
}

TEST(RequestTargetTest, ForgetsTheRequestBefore) {
  RequestHead head;
  RequestTarget target;
  std::size_t scanned = 0;
  const std::string first = "GET https://a.example:1/a?b HTTP/1.1\r\nHost: a.example:1\r\n\r\n";
  ASSERT_EQ(parse_request_head(first, {}, scanned, head).status, ParseStatus::complete);
  ASSERT_TRUE(request_target(head, target));
  const std::string second = "GET /c HTTP/1.0\r\n\r\n";
  ASSERT_EQ(parse_request_head(second, {}, scanned, head).status, ParseStatus::complete);
  ASSERT_TRUE(request_target(head, target));
  EXPECT_EQ(target.host, "");
  EXPECT_EQ(target.port, 0);
  EXPECT_EQ(target.path, "/c");
  EXPECT_EQ(target.query, "");
  EXPECT_FALSE(target.has_query);
  EXPECT_FALSE(target.is_https);
}

struct PathCase {
  const char* given;
  const char* normal;
};

TEST(NormalisePath, RemovesDotSegmentsAndDoubleSlashes) {
  constexpr PathCase cases[] = {
      {"/", "/"},
      {"//", "/"},
      {"///", "/"},
      {"/.", "/"},
      {"/./", "/"},
      {"/./.", "/"},
      {"/a", "/a"},
      {"/a/", "/a/"},
      {"/a/.", "/a/"},
      {"/a/..", "/"},
      {"/a/../", "/"},
      {"/a/b/..", "/a/"},
      {"/a/b/../..", "/"},
      {"/a/b/../../c", "/c"},
      {"/a/./b/./c/./", "/a/b/c/"},
      {"/a//..//b", "/b"},
      {"//..a", "/..a"},
      {"/a/..b", "/a/..b"},
      {"/a/b..", "/a/b.."},
      {"/a/b.", "/a/b."},
      {"/...", "/..."},
      {"/a/.../..", "/a/"},
      {"/.a/..", "/"},
      {"/a.b/c.d", "/a.b/c.d"},
      {"/.well-known/acme-challenge/x", "/.well-known/acme-challenge/x"},
      {"/0123456789abcdef/0123456789abcdef/../x", "/0123456789abcdef/x"},
      {"/0123456789abcde//0123456789abcdef", "/0123456789abcde/0123456789abcdef"},
      {"/0123456789abcd/./0123456789abcdef", "/0123456789abcd/0123456789abcdef"},
  };
  for (const PathCase& test : cases) {
    std::string out = "left over";
    ASSERT_TRUE(normalise_path(test.given, out)) << test.given;
    EXPECT_EQ(out, test.normal) << test.given;
  }
}

TEST(NormalisePath, DecodesUnreservedCharactersAlone) {
  for (unsigned byte = 1; byte < 256; ++byte) {
    constexpr std::string_view upper_digits = "0123456789ABCDEF";
    constexpr std::string_view lower_digits = "0123456789abcdef";
    const std::string upper = {'%', upper_digits[byte >> 4], upper_digits[byte & 15]};
    const std::string lower = {'%', lower_digits[byte >> 4], lower_digits[byte & 15]};
    const char character = static_cast<char>(byte);
    const bool unreserved = (byte < 0x80 && std::isalnum(static_cast<int>(byte)) != 0) || character == '-' ||
                            character == '.' || character == '_' || character == '~';
    std::string out;
    ASSERT_TRUE(normalise_path("/a" + lower + "b", out));
    EXPECT_EQ(out, "/a" + (unreserved ? std::string(1, character) : upper) + "b");
  }
}

TEST(NormalisePath, CountsEncodedDotsAsDots) {
  std::string out;
  for (const char* path : {"/a/%2e%2e/b", "/a/.%2E/b", "/a/%2E./b", "/%2e/a/%2e%2e/b"}) {
    ASSERT_TRUE(normalise_path(path, out)) << path;
    EXPECT_EQ(out, "/b") << path;
  }
}

TEST(NormalisePath, RefusesWhatLeadsAboveTheRoot) {
  std::string out;
  for (const char* path : {"/..", "/../", "/../a", "/./..", "//..", "/a/../..", "/a/b/../../..", "/%2e%2e", "/a/..//..",
                           "/.%2e/a", "/a/%2e%2E/%2e%2e/b"}) {
    EXPECT_EQ(normalise_path(path, out).error(), Refusal::path_above_root) << path;
  }
}

TEST(NormalisePath, RefusesParametersOfDotSegments) {
  std::string out;
  for (const char* path :
       {"/a/..;", "/a/..;/b", "/a/..;x=y/b", "/a/.;/b", "/a/%2e%2e;/b", "/a/.%2E;x/b", "/a/..%3b/b", "/a/%2e%2e%3B/b",
        "/%2e%3bx", "/.;", "/..;", "//..;/", "/0123456789abcdef0123456789abcdef/..;/b"}) {
    EXPECT_EQ(normalise_path(path, out).error(), Refusal::path_dots_and_parameters) << path;
  }
}

TEST(NormalisePath, KeepsOtherParameters) {
  std::string out;
  for (const char* path :
       {"/a;x=y/b", "/;", "/;/a", "/a..;/b", "/...;/b", "/.a;/b", "/a;..", "/a;./b", "/a/..%253B/b"}) {
    ASSERT_TRUE(normalise_path(path, out)) << path;
    EXPECT_EQ(out, path);
  }
}

TEST(HasPathParameter, IsASemicolonRawOrEncoded) {
  EXPECT_TRUE(has_path_parameter("/a;b/c"));
  EXPECT_TRUE(has_path_parameter("/a%3Bb"));
  EXPECT_FALSE(has_path_parameter("/a%253Bb"));
  EXPECT_FALSE(has_path_parameter("/a/b"));
}

TEST(NormalisePath, RefusesWhatIsNoEncoding) {
  std::string out;
  for (const char* path : {"/%", "/a%", "/%1", "/%g0", "/%0g", "/%%", "/%-1", "/% 1", "/%00", "/a/%00/b", "/%u0041"}) {
    EXPECT_EQ(normalise_path(path, out).error(), Refusal::path_encoding) << path;
  }
}

TEST(NormalisePath, RefusesWhatIsNotAbsolute) {
  std::string out;
  EXPECT_EQ(normalise_path("", out).error(), Refusal::target_malformed);
  EXPECT_EQ(normalise_path("a", out).error(), Refusal::target_malformed);
}

/// The rules once more, in the plainest way: by segments.
std::optional<std::string> plain_normalise(std::string_view path) {
  std::string decoded;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      decoded += path[i];
      continue;
    }
    if (i + 2 >= path.size() || std::isxdigit(path[i + 1]) == 0 || std::isxdigit(path[i + 2]) == 0) return std::nullopt;
    const auto byte = static_cast<char>(std::stoi(std::string(path.substr(i + 1, 2)), nullptr, 16));
    if (byte == 0) return std::nullopt;
    if (byte > 0 && (std::isalnum(byte) != 0 || std::string_view("-._~").find(byte) != std::string_view::npos)) {
      decoded += byte;
    } else {
      decoded += '%';
      decoded += static_cast<char>(std::toupper(path[i + 1]));
      decoded += static_cast<char>(std::toupper(path[i + 2]));
    }
    i += 2;
  }
  std::vector<std::string> segments;
  bool directory = true;
  for (std::size_t at = 0; at < decoded.size();) {
    const std::size_t end = std::min(decoded.find('/', at + 1), decoded.size());
    const std::string segment = decoded.substr(at + 1, end - at - 1);
    for (const std::string_view dots : {".;", "..;", ".%3B", "..%3B"})
      if (segment.starts_with(dots)) return std::nullopt;
    directory = segment.empty() || segment == "." || segment == "..";
    if (segment == "..") {
      if (segments.empty()) return std::nullopt;
      segments.pop_back();
    } else if (!directory) {
      segments.push_back(segment);
    }
    at = end;
  }
  std::string out;
  for (const std::string& segment : segments) out += "/" + segment;
  return directory ? out + "/" : out;
}

TEST(NormalisePath, AgreesWithThePlainRulesAndIsIdempotent) {
  constexpr std::string_view pieces[] = {
      "/",   "/",   ".",   "..",  "%2e", "%2E", "%2f", "%5c", "\\",  "a",
      "b.c", "%41", "%25", "%7e", ";",   "%00", "%",   "%c3", "xyz", "0123456789abcdefghij"};
  std::mt19937 random(1);
  std::string out;
  std::string again;
  int accepted = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string path = "/";
    const unsigned count = random() % 12;
    for (unsigned i = 0; i < count; ++i) {
      // the odd ones seldom, so that most paths are accepted
      std::size_t piece = random() % std::size(pieces);
      if ((piece == 15 || piece == 16) && random() % 16 != 0) piece = 0;
      path += pieces[piece];
    }
    const auto plain = plain_normalise(path);
    const bool fine = normalise_path(path, out).has_value();
    ASSERT_EQ(fine, plain.has_value()) << path;
    if (!fine) continue;
    ++accepted;
    ASSERT_EQ(out, *plain) << path;
    ASSERT_TRUE(normalise_path(out, again)) << path;
    ASSERT_EQ(again, out) << path;
  }
  EXPECT_GT(accepted, 50'000);
}

TEST(TargetForWaf, LeavesMostTargetsAlone) {
  std::string storage;
  for (const std::string_view target : {"/", "*", "", "/a?b", "/a%2fb", "/%", "/%3", "/%33f", "/a?b%3fc", "/%253f"}) {
    const std::string_view result = target_for_waf(target, storage);
    EXPECT_EQ(result.data(), target.data()) << target;
    EXPECT_EQ(result, target);
  }
}

TEST(TargetForWaf, EncodesTheQuestionMarkOfAPathOnceMore) {
  std::string storage = "left over";
  EXPECT_EQ(target_for_waf("/a%3fb/secret", storage), "/a%253fb/secret");
  EXPECT_EQ(target_for_waf("/a%3Fb", storage), "/a%253Fb");
  EXPECT_EQ(target_for_waf("/%3f", storage), "/%253f");
  EXPECT_EQ(target_for_waf("/%41%3f%3F%?x=%3f", storage), "/%41%253f%253F%?x=%3f");
}

}  // namespace
}  // namespace gatehouse::http
