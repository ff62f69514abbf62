// The strict subset of YAML.
#include "config/yaml.hpp"

#include "support.hpp"

namespace gatehouse::config::test {
namespace {

struct Read {
  Node root;
  std::vector<std::string> problems;
};

Read read(std::string_view text) {
  Source source(text, "a.yaml");
  Node root = parse_yaml(source);
  return {std::move(root), lines_of(source.take_problems())};
}

std::vector<std::string> problems(std::string_view text) { return read(text).problems; }

TEST(Yaml, BuildsATreeWithPlaces) {
  const Read r = read("a: 1\nb:\n  - x\n  - {c: \"y\"}\n");
  EXPECT_THAT(r.problems, IsEmpty());
  ASSERT_EQ(r.root.kind, Node::Kind::mapping);
  ASSERT_EQ(r.root.members.size(), 2U);
  EXPECT_EQ(r.root.members[0].key, "a");
  EXPECT_EQ(r.root.members[0].value.text, "1");
  EXPECT_EQ(r.root.members[0].value.at, (Mark{1, 4}));
  const Node& b = r.root.members[1].value;
  EXPECT_EQ(r.root.members[1].key_at, (Mark{2, 1}));
  ASSERT_EQ(b.items.size(), 2U);
  EXPECT_EQ(b.items[1].at, (Mark{4, 5}));
  EXPECT_EQ(b.items[1].find("c")->value.at, (Mark{4, 9}));
  EXPECT_EQ(b.items[1].find("d"), nullptr);
}

TEST(Yaml, KeepsScalarsAsTextAndKnowsQuotes) {
  const Read r = read("[010, \"010\", '0', off, yes, ~, null, \"null\"]");
  EXPECT_THAT(r.problems, IsEmpty());
  const auto& items = r.root.items;
  ASSERT_EQ(items.size(), 8U);
  EXPECT_EQ(items[0].text, "010");
  EXPECT_FALSE(items[0].quoted);
  EXPECT_TRUE(items[1].quoted);
  EXPECT_TRUE(items[2].quoted);
  EXPECT_EQ(items[3].text, "off");
  EXPECT_EQ(items[4].text, "yes");
  EXPECT_EQ(items[5].kind, Node::Kind::null);
  EXPECT_EQ(items[6].kind, Node::Kind::null);
  EXPECT_EQ(items[7].kind, Node::Kind::scalar);
}

TEST(Yaml, FindsWhereTheTextOfAScalarBegins) {
  const Read r = read("a: plain\nb: \"quoted\"\nc: |\n    first\n    second\nd: >-\n\n  folded\ne: |\n");
  EXPECT_THAT(r.problems, IsEmpty());
  const auto& m = r.root.members;
  EXPECT_EQ(m[0].value.text_at, (Mark{1, 4}));
  EXPECT_EQ(m[1].value.text_at, (Mark{2, 5}));
  EXPECT_EQ(m[2].value.text, "first\nsecond\n");
  EXPECT_EQ(m[2].value.text_at, (Mark{4, 5}));
  EXPECT_TRUE(m[2].value.quoted);
  EXPECT_EQ(m[3].value.text_at, (Mark{7, 3}));
}

TEST(Yaml, PutsAMissingValueAtItsKey) {
  const Read r = read("a:\nb:\n  c:\n  d: ~\n  e: null\n");
  EXPECT_EQ(r.root.members[0].value.kind, Node::Kind::null);
  EXPECT_EQ(r.root.members[0].value.at, (Mark{1, 1}));
  const Node& b = r.root.members[1].value;
  EXPECT_EQ(b.members[0].value.at, (Mark{3, 3}));
  EXPECT_EQ(b.members[1].value.at, (Mark{4, 6}));
  EXPECT_EQ(b.members[2].value.at, (Mark{5, 6}));
}

TEST(Yaml, ReadsAnEmptyFileAsNull) {
  for (const char* text : {"", "\n\n", "# only a comment\n", "---\n", "--- \n...\n"}) {
    EXPECT_EQ(read(text).root.kind, Node::Kind::null) << text;
    EXPECT_THAT(problems(text), IsEmpty()) << text;
  }
}

TEST(Yaml, TakesWindowsLineEndsAndAByteOrderMark) {
  const Read r = read(
      "\xEF\xBB\xBF"
      "a: 1\r\nb: |\r\n  x\r\n  y\r\n");
  EXPECT_THAT(r.problems, IsEmpty());
  EXPECT_EQ(r.root.members[0].key_at, (Mark{1, 1}));
  EXPECT_EQ(r.root.members[1].value.text, "x\ny\n");
  EXPECT_EQ(r.root.members[1].value.text_at, (Mark{3, 3}));
}

TEST(Yaml, RefusesDuplicateKeysAndKeepsTheFirst) {
  const Read r = read("a: 1\nb: {c: 1, c: 2, c: 3}\na: 2\n");
  EXPECT_THAT(r.problems, ElementsAre(error_at("2:11", "'c' is given twice, first in line 2"),
                                      error_at("2:17", "'c' is given twice"),
                                      error_at("3:1", "'a' is given twice, first in line 1")));
  ASSERT_EQ(r.root.members.size(), 2U);
  EXPECT_EQ(r.root.members[0].value.text, "1");
  EXPECT_THAT(problems("a: 1\n\"a\": 2\n"), ElementsAre(error_at("2:1", "given twice")));
}

TEST(Yaml, RefusesAnchorsAndAliases) {
  EXPECT_THAT(problems("a: &x 1\nb: *x\n"), ElementsAre(error_at("1:4", "anchors"), error_at("2:4", "aliases")));
  EXPECT_THAT(problems("a: &x\n"), ElementsAre(error_at("1:4", "anchors")));
  EXPECT_THAT(problems("a: &x [*x]\n"), ElementsAre(error_at("1:4", "anchors"), error_at("1:8", "aliases")));
  EXPECT_THAT(problems("a: *unknown\n"), ElementsAre(error_at("1:4", "this is not YAML")));
  EXPECT_THAT(problems("&k a: 1\n"), ElementsAre(error_at("1:1", "anchors")));
}

TEST(Yaml, RefusesTags) {
  EXPECT_THAT(problems("a: !!str 1\n"), ElementsAre(error_at("1:4", "tags")));
  EXPECT_THAT(problems("a: ! 1\n"), ElementsAre(error_at("1:4", "tags")));
  EXPECT_THAT(problems("a: !x {b: 1}\n"), ElementsAre(error_at("1:4", "tags")));
  EXPECT_THAT(problems("a: !<tag:x> [1]\n"), ElementsAre(error_at("1:4", "tags")));
}

TEST(Yaml, RefusesDirectivesAndASecondDocument) {
  EXPECT_THAT(problems("%YAML 1.2\n---\na: 1\n"), ElementsAre(error_at("1:1", "directives")));
  EXPECT_THAT(problems("a: 1\n---\nb: 2\n"), ElementsAre(error_at("2:1", "a second document")));
  EXPECT_THAT(problems("a: 1\n...\nb: 2\n"), ElementsAre(error_at("3:1", "a second document")));
  EXPECT_THAT(problems("---\na: 1\n...\n"), IsEmpty());
}

TEST(Yaml, ReadsTheFirstOfSeveralDocumentsAllTheSame) {
  for (const char* text : {"a: 1\n---\nb: [\n", "a: 1\n...\n---\n---\n", "{a: 1}\nb: 2\n"}) {
    const Read r = read(text);
    EXPECT_THAT(r.problems, ElementsAre(HasSubstr("a second document"))) << text;
    ASSERT_EQ(r.root.kind, Node::Kind::mapping) << text;
    ASSERT_EQ(r.root.members.size(), 1U) << text;
    EXPECT_EQ(r.root.members[0].value.text, "1") << text;
  }
  EXPECT_EQ(read("---\n---\na: 1\n").root.kind, Node::Kind::refused);  // not "the file is empty"
  EXPECT_EQ(read("a: [1\n---\nb: 2\n").root.kind, Node::Kind::refused);
}

TEST(Yaml, KnowsWhetherItReadTheWholeFile) {
  const auto whole = [](std::string_view text) {
    Source source(text, "a.yaml");
    (void)parse_yaml(source);
    return source.is_whole();
  };
  for (const char* text : {"", "a: 1\n", "a: 1\na: 2\n", "a: &x 1\n"}) EXPECT_TRUE(whole(text)) << text;
  for (const char* text : {"a: 1\n---\nb: 2\n", "a: [1\n", "a: \x01\n", "%YAML 1.2\n"})
    EXPECT_FALSE(whole(text)) << text;
}

TEST(Yaml, RefusesKeysThatAreNotWords) {
  EXPECT_THAT(problems("? [a, b]\n: 1\n"), ElementsAre(error_at("1:3", "a key must be a word")));
  EXPECT_THAT(problems("{{a: 1}: 2}"), ElementsAre(error_at("1:2", "a key must be a word")));
  EXPECT_THAT(problems("~: 1\n"), ElementsAre(error_at("1:1", "a key must be a word")));
  EXPECT_THAT(problems(": 1\n"), ElementsAre(error_at("1:1", "a key must be a word")));
}

TEST(Yaml, TellsWhereTheSyntaxIsWrong) {
  EXPECT_THAT(problems("a: 1\nb: [1, 2\nc: 3\n"), ElementsAre(HasSubstr("this is not YAML")));
  EXPECT_THAT(problems("a: b: c\n"), ElementsAre(error_at("1:5", "this is not YAML")));
  EXPECT_THAT(problems("a: \"x"), ElementsAre(error_at("1:6", "this is not YAML")));
  EXPECT_THAT(problems("a: 1\n b: 2\n"), ElementsAre(error_at("2:3", "this is not YAML")));
  EXPECT_THAT(problems("a: \"\\q\"\n"), ElementsAre(HasSubstr("this is not YAML")));
  EXPECT_THAT(problems("a: [1 2] 3\n"), ElementsAre(HasSubstr("this is not YAML")));
  EXPECT_THAT(problems("{a: /x?y}"), ElementsAre(error_at("1:7", "'?' cannot stand here; put the value in quotes")));
}

TEST(Yaml, RefusesAQuoteThatTheEndOfTheFileCloses) {
  EXPECT_THAT(problems("a: \"x\n"), ElementsAre(error_at("1:4", "never closed")));
  EXPECT_THAT(problems("a: 'x''\n"), ElementsAre(error_at("1:4", "never closed")));
  EXPECT_THAT(problems("a: \"x\\\"\n"), ElementsAre(error_at("1:4", "never closed")));
  EXPECT_THAT(problems("a: ['x''y', \"z\\\"\", '', \"\"]\n"), IsEmpty());
}

TEST(Yaml, RefusesWordsWithoutAColon) {
  EXPECT_THAT(problems("a: 1\nb\n"), ElementsAre(error_at("2:1", "'b' stands here without a colon")));
  EXPECT_THAT(problems("a: 1\nnull_or_so\n"), ElementsAre(error_at("2:1", "'null_or_so' stands here without a colon")));
  EXPECT_THAT(problems("a: 1\n\"b:\"\n"), ElementsAre(HasSubstr("this is not YAML")));
  EXPECT_THAT(problems("? a\n"), ElementsAre(error_at("1:3", "'a' stands here without a colon")));
  EXPECT_THAT(problems("{a, b: 1}\n"), ElementsAre(error_at("1:2", "'a' stands here without a colon")));
  EXPECT_THAT(problems("a: 1\nb:\n\"c\" :\n'd':\ne: ~\n"), IsEmpty());
  EXPECT_THAT(problems("{a: , \"b\":}\n"), IsEmpty());
}

TEST(Yaml, RefusesValuesThatAreNotIndented) {
  EXPECT_THAT(problems("a:\n\"b\"\n"), ElementsAre(error_at("2:1", "this value of 'a' must be indented")));
  EXPECT_THAT(problems("a:\n  b:\n  'c'\n"), ElementsAre(error_at("3:3", "this value of 'b' must be indented")));
  EXPECT_THAT(problems("a:\n[b]\n"), ElementsAre(error_at("2:1", "must be indented")));
  EXPECT_THAT(problems("a:\n  b\nc:\n- d\n-\n  e:\n    f\ng: {h:\ni}\n"), IsEmpty());
}

TEST(Yaml, RefusesTabsAsIndentation) {
  EXPECT_THAT(problems("a:\n\tb: 1\n"), ElementsAre(error_at("2:1", "begins with a tab")));
  EXPECT_THAT(problems("a: |\n  x\ty\n  \tz\n"), IsEmpty());  // in text, behind the indentation
}

TEST(Yaml, RefusesControlsAndBadEncoding) {
  EXPECT_THAT(problems(std::string_view("a: \0", 4)), ElementsAre(error_at("1:4", "control character '\\x00'")));
  EXPECT_THAT(problems("a: 1\nb: \x04\nc: 1"),
              ElementsAre(error_at("2:4", "control character '\\x04'")));  // yaml-cpp's end of file
  EXPECT_THAT(problems("a: \x1b[31m"), ElementsAre(error_at("1:4", "control character")));
  EXPECT_THAT(problems("a: \xC2\xA0\xC2\x9B"), ElementsAre(error_at("1:6", "control character '\\u{9b}'")));
  EXPECT_THAT(problems("a: 1\rb: 2"), ElementsAre(error_at("1:5", "carriage return")));
  EXPECT_THAT(problems("a: 1\nb: \xFC\n"), ElementsAre(error_at("2:4", "not UTF-8")));
  EXPECT_THAT(problems("\xFE\xFF\x61"), ElementsAre(error_at("1:1", "not UTF-8")));  // UTF-16
}

TEST(Yaml, RefusesLineEndsOfAnOlderYaml) {
  for (const char* separator : {"\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9"}) {
    EXPECT_THAT(problems("a: 1\n#" + std::string(separator) + "a: 2\n"),
                ElementsAre(error_at("2:2", "line separator '\\u{")));
  }
  EXPECT_THAT(problems("a: \"\\u2028\"\nb: \xC3\xA4\n"), IsEmpty());
}

TEST(Yaml, BoundsDepth) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_THAT(problems(nested(32)), IsEmpty());
  EXPECT_THAT(problems(nested(33)), ElementsAre(error_at("1:33", "more than 32 levels")));
  EXPECT_THAT(problems(std::string(100'000, '[')), ElementsAre(HasSubstr("error")));
  EXPECT_THAT(problems(std::string(100'000, '{')), ElementsAre(HasSubstr("error")));
  std::string dashes;
  for (int i = 0; i < 10'000; ++i) dashes += "- ";
  EXPECT_THAT(problems(dashes), ElementsAre(HasSubstr("more than 32 levels")));
  std::string indented;
  for (std::size_t i = 0; i < 500; ++i) indented += std::string(i, ' ') + "a:\n";
  EXPECT_THAT(problems(indented), ElementsAre(HasSubstr("more than 32 levels")));
}

TEST(Yaml, BoundsValues) {
  std::string many = "[";
  for (std::size_t i = 0; i < kMostNodes; ++i) many += "a,";
  EXPECT_THAT(problems(many + "]"), ElementsAre(HasSubstr("more than 100000 values")));
}

TEST(Yaml, BoundsPunctuationAndSize) {
  EXPECT_THAT(problems("[" + std::string(kMostPunctuation, ',') + "]"),
              ElementsAre(error_at("0:0", "characters of punctuation")));
  EXPECT_THAT(problems("a: " + std::string(kMostBytes, 'a')),
              ElementsAre(error_at("0:0", "larger than 4194304 bytes")));
  EXPECT_THAT(problems("a: " + std::string(kMostBytes - 3, 'a')), IsEmpty());
}

TEST(Yaml, ShowsAHundredProblemsAndCountsTheRest) {
  std::string text;
  for (int i = 0; i < 150; ++i) text += "a: 1\n";
  const auto found = problems(text);
  ASSERT_EQ(found.size(), 101U);
  EXPECT_THAT(found.back(), error_at("0:0", "and 49 more errors"));
}

TEST(Yaml, ReportsHostileWordsOnOneLine) {
  Source source("\"a\\nb\\u202e\": 1\n\"a\\nb\\u202e\": 2\n", "a.yaml");
  (void)parse_yaml(source);
  const Problems found = source.take_problems();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].message, HasSubstr("'a\\nb\\u{202e}' is given twice"));
}

}  // namespace
}  // namespace gatehouse::config::test
