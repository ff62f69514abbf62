// What the parsers are given is bounded, and nothing hides from the scans that the parsers would see.
#include <malloc.h>

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "waf/body_bounds.hpp"
#include "waf_fixture.hpp"

namespace gatehouse::waf::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;

std::string repeated(std::string_view text, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += text;
  return out;
}

// Attributes with names of their own, each with a blank before it.
std::string attributes(std::size_t count, std::string_view start = "a", std::string_view value = "''") {
  std::string out;
  for (std::size_t i = 0; i < count; ++i)
    out += " " + std::string(start) + std::to_string(i) + "=" + std::string(value);
  return out;
}

TEST(XmlBounds, BoundsAttributesOfAnElement) {
  EXPECT_TRUE(xml_is_within_bounds("<a" + attributes(max_xml_attributes) + "/>"));
  EXPECT_FALSE(xml_is_within_bounds("<a" + attributes(max_xml_attributes + 1) + "/>"));
  EXPECT_FALSE(xml_is_within_bounds("<r><a></a><a" + attributes(max_xml_attributes + 1) + "></a></r>"));
  EXPECT_TRUE(xml_is_within_bounds("<r>" + repeated("<a" + attributes(100) + "/>", 5) + "</r>"));
}

TEST(XmlBounds, SeesAttributesBehindWhatLooksLikeTheEndOfAnElement) {
  const std::string many = attributes(max_xml_attributes + 1);
  const std::string cases[] = {"<a b='>'" + many + "/>",
                               "<a b=\"'>\"" + many + "/>",
                               "<a b='/>'" + many + "/>",
                               "<a\n\tb\n=\n'>'" + many + "/>",
                               "<!-- > ' -- ><a> --><a" + many + "/>",
                               "<!--><a> --><a" + many + "/>",
                               "<!--'--><a" + many + "/>",
                               "<?p '?><a" + many + "/>",
                               "<?p > ?><a" + many + "/>",
                               "<r><![CDATA[ <!-- ' ]] > ]]><a" + many + "/></r>",
                               "\xEF\xBB\xBF<a" + many + "/>",
                               "<a" + many,
                               "<r>'\"&lt;<a" + many + "/></r>",
                               "<a" + attributes(max_xml_attributes + 1, "\xC3\xA4", "'<'") + "/>"};
  for (const std::string& xml : cases) EXPECT_FALSE(xml_is_within_bounds(xml)) << xml.substr(0, 60);
}

TEST(XmlBounds, RefusesHyphensInComments) {
  for (const std::string xml :
       {"<r><!-- a -- b --></r>", "<!----a><r/>", "<!-- --- --><r/>", "<r><!-- -- ", "<!--a---><r/>"})
    EXPECT_FALSE(xml_is_within_bounds(xml)) << xml;
  for (const std::string xml :
       {"<r><!-- a - b --></r>", "<!----><r/>", "<!-- ->- --><r>--</r>", "<r><![CDATA[<!-- -- -->]]></r>",
        "<r a='<!-- -- '/>", "<?p <!-- -- ?><r/>", "<!-- never ends", "<!-- never ends --", "<!-- never ends -"})
    EXPECT_TRUE(xml_is_within_bounds(xml)) << xml;
}

TEST(XmlBounds, DoesNotCountWhatIsNoMarkup) {
  const std::string many = "<a" + attributes(max_xml_attributes + 1) + "/>";
  for (const std::string& xml : {"<!-- " + many + " --><a/>", "<a><![CDATA[" + many + "]]></a>",
                                 "<?p " + many + "?><a/>", "<a>" + repeated("x='y' ", 1000) + "</a>"})
    EXPECT_TRUE(xml_is_within_bounds(xml)) << xml.substr(0, 60);
}

TEST(XmlBounds, BoundsDepth) {
  EXPECT_TRUE(xml_is_within_bounds(repeated("<a>", max_xml_depth) + "<b/>" + repeated("</a>", max_xml_depth)));
  EXPECT_FALSE(xml_is_within_bounds(repeated("<a>", max_xml_depth + 1)));
  EXPECT_TRUE(xml_is_within_bounds("<r>" + repeated("<a><b/></a>", 10'000) + "</r>"));
}

TEST(XmlBounds, BoundsNodes) {
  for (const std::string_view node : {"<b/>", "<b></b>", "<!---->", "<?b?>", "<![CDATA[]]>"}) {
    EXPECT_TRUE(xml_is_within_bounds("<a>" + repeated(node, max_xml_nodes - 1) + "</a>")) << node;
    EXPECT_FALSE(xml_is_within_bounds("<a>" + repeated(node, max_xml_nodes) + "</a>")) << node;
  }
  EXPECT_FALSE(xml_is_within_bounds("<a>" + repeated("<b c='1'/>", max_xml_nodes / 2) + "</a>"));
  EXPECT_TRUE(xml_is_within_bounds("<a>" + repeated("&amp;", max_xml_nodes) + "</a>"));
}

TEST(XmlBounds, BoundsNamespacesAroundAnElement) {
  const std::string half = attributes(max_xml_namespaces / 2, "xmlns:a", "'u'");
  const std::string other = attributes(max_xml_namespaces / 2, "xmlns:b", "'u'");
  EXPECT_TRUE(xml_is_within_bounds("<a" + half + "><b" + other + "/></a>"));
  EXPECT_FALSE(xml_is_within_bounds("<a" + half + "><b" + other + " xmlns='u'/></a>"));
  EXPECT_FALSE(xml_is_within_bounds("<a" + half + "><b" + other + "><c xmlns:c='u'/></b></a>"));
  EXPECT_TRUE(xml_is_within_bounds("<a>" + repeated("<b xmlns='u'/>", 1'000) + "</a>"));
  EXPECT_TRUE(xml_is_within_bounds("<a>" + repeated("<b xmlns='u'></b>", 1'000) + "</a>"));
}

TEST(XmlBounds, RefusesEncodingsInWhichMarkupIsNotAscii) {
  using std::string_view_literals::operator""sv;
  EXPECT_FALSE(xml_is_within_bounds("\xFF\xFE<\0a\0/\0>\0"sv));
  EXPECT_FALSE(xml_is_within_bounds("\xFE\xFF\0<\0a\0/\0>"sv));
  EXPECT_FALSE(xml_is_within_bounds("<\0a\0/\0>\0"sv));
  EXPECT_FALSE(xml_is_within_bounds("\0<\0a\0/\0>"sv));
  EXPECT_FALSE(xml_is_within_bounds("\x4C\x6F\xA7\x94"));  // EBCDIC
  for (const std::string_view encoding : {"utf-16", "UTF-7", "ibm037", "iso-2022-jp", "shift_jis", "", "iso-8859-",
                                          "windows-1252x", "utf-8' encoding='utf-7"})
    EXPECT_FALSE(xml_is_within_bounds("<?xml version='1.0' encoding='" + std::string(encoding) + "'?><a/>"))
        << encoding;
  EXPECT_FALSE(xml_is_within_bounds("<?xml version='1.0'\nencoding\n=\n\"utf-7\"?><a/>"));
  EXPECT_FALSE(xml_is_within_bounds("<?xml version=\"encoding='utf-8'\" encoding='utf-7'?><a/>"));
  for (const std::string_view encoding : {"utf-8", "UTF-8", "us-ascii", "ISO-8859-1", "iso-8859-15", "Windows-1252"})
    EXPECT_TRUE(xml_is_within_bounds("<?xml version='1.0' encoding='" + std::string(encoding) + "'?><a/>")) << encoding;
  EXPECT_TRUE(xml_is_within_bounds("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<a/>"));
  EXPECT_TRUE(xml_is_within_bounds("<?xml-stylesheet href='x.xsl'?><a/>"));
}

TEST(XmlBounds, RefusesDeclarations) {
  EXPECT_FALSE(xml_is_within_bounds("<!DOCTYPE a [<!ENTITY x '<b c=\"1\"/>'>]><a>&x;</a>"));
  EXPECT_FALSE(xml_is_within_bounds("<!DOCTYPE a [<!ATTLIST a b CDATA 'c'>]><a/>"));
  EXPECT_FALSE(xml_is_within_bounds("<!DOCTYPE a SYSTEM 'x>'\n[]><a/>"));
  EXPECT_FALSE(xml_is_within_bounds(repeated("<!DOCTYPE a>", 2)));
  EXPECT_TRUE(xml_is_within_bounds("<!DOCTYPE html><html/>"));
}

// An upstream that loads it reads texts that no rule has seen, and is made to ask whom the client names.
TEST(XmlBounds, RefusesDocumentTypesThatAreElsewhere) {
  for (const char* type :
       {"<!DOCTYPE a SYSTEM \"http://x.test/x.dtd\">", "<!DOCTYPE a SYSTEM 'file:///etc/passwd'>",
        "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"x\">", "<!DOCTYPE a\nSYSTEM\t'x'\n>"})
    EXPECT_FALSE(xml_is_within_bounds(std::string(type) + "<a>&x;</a>")) << type;
}

TEST(XmlBounds, TakesWhateverIsNoXml) {  // which the parser then refuses
  for (const std::string_view xml :
       {"",    " ",         "<",  "<a",  "<a b", "<a b=", "<a b='", "<!", "<!--", "<?", "</",    "</a",
        "<!D", "<![CDATA[", "<>", "</>", "<\"",  "< ",    "a",      " a", "test", "{}", "a<b><", "\xEF\xBB\xBFtest"})
    EXPECT_TRUE(xml_is_within_bounds(xml)) << xml;
  EXPECT_FALSE(xml_is_within_bounds("\xE9t\xE9"));
}

constexpr std::string_view form_data = "multipart/form-data; boundary=xyz";
constexpr std::string_view disposition = "Content-Disposition: form-data; name=\"a\"\r\n";

std::string lines(std::size_t count, std::string_view start = "X", std::string_view end = ": y\r\n") {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += std::string(start) + std::to_string(i) + std::string(end);
  return out;
}
std::string part(std::string_view head, std::string_view data = "1\r\n") {
  return "--xyz\r\n" + std::string(head) + "\r\n" + std::string(data);
}
bool multipart_fits(std::string_view parts, std::string_view type = form_data) {
  return multipart_is_within_bounds(std::string(parts) + "--xyz--\r\n", type);
}

TEST(MultipartBounds, BoundsHeadersOfAPart) {
  EXPECT_TRUE(multipart_fits(part(std::string(disposition) + lines(max_part_header_lines - 1))));
  EXPECT_FALSE(multipart_fits(part(std::string(disposition) + lines(max_part_header_lines))));
  EXPECT_FALSE(multipart_fits(part(std::string(disposition)) + part(lines(max_part_header_lines + 1))));
  EXPECT_FALSE(multipart_fits(part(std::string(disposition) + lines(max_part_header_lines, "", "\n"))));
}

// What follows them counts too, since they may have spoilt the disposition.
TEST(MultipartBounds, BoundsFoldedLines) {
  for (const std::string_view line : {" x\r\n", "\tx\r\n", "\r x\r\n", "\v\n", "\f\n"}) {
    EXPECT_TRUE(multipart_fits(part(std::string(disposition) + repeated(line, max_part_header_lines - 3)))) << line;
    EXPECT_FALSE(multipart_fits(part(std::string(disposition) + repeated(line, max_part_header_lines)))) << line;
  }
}

TEST(MultipartBounds, RefusesAPartThatIsTwo) {
  constexpr std::string_view type = "multipart/form-data; boundary=b";
  const std::string named = "Content-Disposition: form-data; name=\"a\"\r\n";
  const auto with_head = [](const std::string& head) { return "--b\r\n" + head + "\r\nx\r\n--b--\r\n"; };
  for (const std::string& head : {named + named, named + "X-A: b\r\ncontent-disposition : form-data; name=\"c\"\r\n",
                                  "CONTENT-DISPOSITION: form-data;\r\n name=\"a\"\r\n" + named,
                                  named + "Content-Type: text/plain\r\ncontent-type: text/html\r\n",
                                  named + "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n"})
    EXPECT_FALSE(multipart_is_within_bounds(with_head(head), type)) << head;
  for (const std::string& body :
       {with_head(named + "Content-Type: text/plain\r\nX-A: a\r\nX-A: b\r\n"),
        "--b\r\n" + named + "\r\n" + named + named + "\r\n--b--\r\n",  // data
        "--b\r\n" + named + "\r\nx\r\n--b\r\n" + named + "\r\nx\r\n--b--\r\n",
        "--b\r\nContent-Disposition: form-data;\r\n name=a\r\n\r\nx\r\n--b\r\n" + named + "\r\nx\r\n--b--\r\n"})
    EXPECT_TRUE(multipart_is_within_bounds(body, type)) << body;
}

TEST(MultipartBounds, BoundsParts) {
  EXPECT_TRUE(multipart_fits(repeated(part(disposition), max_parts)));
  EXPECT_FALSE(multipart_fits(repeated(part(disposition), max_parts + 1)));
  EXPECT_TRUE(multipart_fits(repeated(part(std::string(disposition) + lines(3)), max_all_header_lines / 4)));
  EXPECT_FALSE(multipart_fits(repeated(part(std::string(disposition) + lines(4)), max_all_header_lines / 5 + 1)));
}

// libmodsecurity stays in a part's head until it has understood Content-Disposition.
TEST(MultipartBounds, CountsLinesThatMayStillBeOfTheHead) {
  const std::string many = lines(max_part_header_lines);
  for (const std::string_view head :
       {"", "X: y\r\n", "Content-Disposition: form-data\r\n", "Content-Disposition: form-data; name=\"\"\r\n",
        "Content-Disposition: form-data; name=\"a\r\n", "Content-Disposition: form-data; name=\"a\\\"\r\n",
        "Content-Disposition: form-data; name='a'\r\n", "Content-Disposition: attachment; name=\"a\"\r\n",
        "Content-Disposition: form-data; name=\"a\"; other=b\r\n", "Content-Disposition: form-data; name=\"a\" x\r\n",
        "Content-Disposition: form-data; name=\"a\"; name=\"b\"\r\n",
        "Content-Disposition: form-data; name=\"a\"; filename=\"\"; filename=\"b\"\r\n",
        "Content-Disposition: form-data; name=a; filename*=UTF-8''b\r\n",
        "Content-Disposition: x\r\nContent-Disposition: form-data; name=\"a\"\r\n",
        "Content-Disposition : form-data; name=\"a\"\r\n", " Content-Disposition: form-data; name=\"a\"\r\n",
        "Content-Disposition: form-data; name=\"a\"\r\n b\r\n"})
    EXPECT_FALSE(multipart_fits(part(head, many))) << head;
  EXPECT_FALSE(
      multipart_fits(part("Content-Disposition: form-data; name=\"a\"" + std::string(1, '\0') + "\r\n", many)));
  // A boundary in the head is a header to it, and does not begin anew.
  EXPECT_FALSE(multipart_fits("--xyz\r\n" + lines(max_part_header_lines + 1, "--xyz")));
  EXPECT_FALSE(multipart_fits(part("", repeated("--xyz\r\nX: y\r\n", max_part_header_lines))));
}

TEST(MultipartBounds, LeavesDataAlone) {
  const std::string many = lines(1'000) + lines(1'000, "--other") + lines(1'000, " ");
  for (const std::string_view head :
       {"Content-Disposition: form-data; name=\"a\"\r\n", "content-disposition:form-data;name=a\r\n",
        "Content-Disposition: form-data; name=\"a\";\r\n", "Content-Disposition: form-data; name = \"a\"\r\n",
        "Content-Disposition: form-data; name=\"a\"; filename=\"b %22c%22.txt\"\r\nContent-Type: text/plain\r\n",
        "Content-Disposition: form-data; name=\"a\"; filename=\"C:\\b\\c.txt\"\r\n",
        "Content-Disposition: form-data; name=\"a\"; filename=\"\"\r\n",
        "Content-Disposition: form-data; name=\"a\"; filename=\"b\"; filename*=UTF-8''na%C3%AFve.txt\r\n",
        "Content-Type: text/plain\nContent-Disposition: form-data; filename=b; name=\"a\" \n"})
    EXPECT_TRUE(multipart_fits(part(head, many))) << head;
  EXPECT_TRUE(multipart_fits(lines(1'000) + part(disposition)));                              // a preamble
  EXPECT_TRUE(multipart_fits(part(disposition) + "--xyz--\r\n" + lines(1'000)));              // an epilogue
}

TEST(MultipartBounds, FindsTheBoundaryOfTheHeader) {
  const std::string body = "--x-z\r\n" + std::string(disposition) + "\r\n" + lines(100, "--y") + "--x-z--\r\n";
  for (const std::string_view type :
       {"multipart/form-data; boundary=x-z", "multipart/form-data; boundary=\"x-z\"",
        "multipart/form-data; boundary =x-z", "Multipart/Form-Data; boundary=x-z; charset=utf-8"})
    EXPECT_TRUE(multipart_is_within_bounds(body, type)) << type;
  const std::string bad = "--x-z\r\n" + lines(100);
  for (const std::string_view type : {"multipart/form-data; boundary=x-z", "multipart/form-data; boundary=\"x-z\"",
                                      "multipart/form-data; boundary=x-z;y", "multipart/form-data; boundary", ""})
    EXPECT_FALSE(multipart_is_within_bounds(bad, type)) << type;
}

TEST(MultipartBounds, RefusesABoundaryThatOthersCut) {
  const auto fits = [](std::string_view boundary, std::string_view value) {
    const std::string body = "--" + std::string(boundary) + "\r\n" + std::string(disposition) + "\r\nx\r\n--" +
                             std::string(boundary) + "--\r\n";
    return multipart_is_within_bounds(body, "multipart/form-data; boundary=" + std::string(value));
  };
  const auto quoted = [](std::string_view boundary) { return '"' + std::string(boundary) + '"'; };
  for (const std::string_view boundary :
       {"a,b", "a b", "a(b", "a)b", "a/b", "a:b", "a=b", "a?b", "a@b", "a\\b", "a\tb", ""})
    EXPECT_FALSE(fits(boundary, boundary)) << boundary;
  for (const std::string_view boundary : {"a,b", "a b", "a;b", "a\\b", "a@b", ""})
    EXPECT_FALSE(fits(boundary, quoted(boundary))) << boundary;
  EXPECT_FALSE(fits("a", "\"a"));
  // What clients make of them: browsers, curl, Go, Apache's HttpClient, Dart, Alamofire, Jersey, RestClient.
  for (const std::string_view boundary :
       {"----WebKitFormBoundary7MA4YWxkTrZu0gW", "----geckoformboundary9d2c",
        "---------------------------735323031399963166993862150", "------------------------d74496d66958873e",
        "f0a1b2c3d4e5f60718293a4b5c6d7e8f", "-_abcXYZ09-_", "dart-http-boundary-a+b_c-d.e", "alamofire.boundary.9b2c4a",
        "Boundary_1_2085_1700", "----RubyFormBoundaryAbC"}) {
    EXPECT_TRUE(fits(boundary, boundary)) << boundary;
    EXPECT_TRUE(fits(boundary, quoted(boundary))) << boundary;
  }
  // .NET, JavaMail, Python's email, Qt and libsoup
  for (const std::string_view boundary : {"6f9619ff-8b86-d011-b42d-00cf4fc964ff", "----=_Part_0_1.2",
                                          "===============12==", "boundary_.oOo._a+b/c==", "Ab+/cd=="})
    EXPECT_TRUE(fits(boundary, quoted(boundary))) << boundary;
}

TEST(MultipartBounds, RefusesALineThatIsTheBoundaryCut) {
  const auto fits = [](std::string_view line, std::string_view boundary = "a.b-c") {
    const std::string body = "--" + std::string(boundary) + "\r\n" + std::string(disposition) + "\r\n" +
                             std::string(line) + "\r\n--" + std::string(boundary) + "--\r\n";
    return multipart_is_within_bounds(body, "multipart/form-data; boundary=\"" + std::string(boundary) + '"');
  };
  for (const std::string_view line : {"--a", "--a--", "--a \t", "--a\nx"}) EXPECT_FALSE(fits(line)) << line;
  for (const std::string_view line : {"--", "--b", "--ab", "--a x", "-- a", "--a.", "--a.b", "--a.b-", "x--a"})
    EXPECT_TRUE(fits(line)) << line;
  for (const std::string_view line : {"--", "------", "---", "--==="}) {
    EXPECT_TRUE(fits(line, "----=_Part_0")) << line;
    EXPECT_TRUE(fits(line, "===============12==")) << line;
  }
}

TEST(MultipartBounds, RefusesAFileThatIsNoneToOthers) {
  for (const std::string_view names :
       {"filename=\"x\"; filename*=UTF-8''", "filename=\"x\"; filename*=UTF-8'';", "filename*=UTF-8''; filename=\"x\"",
        "filename*=UTF-8''", "filename*=UTF-8'en' ; filename=x", "filename*=UTF-8''x",
        "filename=\"\"; filename*=UTF-8''x", "filename=x; filename* =UTF-8''", "filename=x; filename*0=y",
        "filename=x; FILENAME*=UTF-8''y"})
    EXPECT_FALSE(multipart_fits(part("Content-Disposition: form-data; name=\"a\"; " + std::string(names) + "\r\n")))
        << names;
  for (const std::string_view names : {"filename=\"x*y\"", "filename=\"x\"; filename*=UTF-8''y"})
    EXPECT_TRUE(multipart_fits(part("Content-Disposition: form-data; name=\"a\"; " + std::string(names) + "\r\n")))
        << names;
}

// --- fields of several lines

std::vector<std::array<std::string, 3>> fields_of(std::string_view body) {
  std::vector<std::array<std::string, 3>> out;
  EXPECT_TRUE(fields_of_several_lines(body, form_data, [&](const auto& name, const auto& as_read, const auto& value) {
    out.push_back({name, as_read, value});
  }));
  return out;
}

TEST(MultipartFields, AreReportedIfTheyHaveSeveralLines) {
  using Fields = std::vector<std::array<std::string, 3>>;
  const std::string file = "Content-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n";
  const std::string b = "Content-Disposition: form-data; name=b\r\nContent-Type: text/plain\r\n";
  EXPECT_EQ(fields_of(part(disposition, "1\r\nor\n1\r\r\n=\r1\r\n") + "--xyz--\r\n"),
            (Fields{{"a", "1or1\r=\r1", "1\r\nor\n1\r\r\n=\r1"}}));
  EXPECT_EQ(fields_of(part(disposition, "1\r\r\n\n2\r\n") + "--xyz--\r\n"), (Fields{{"a", "1\r2", "1\r\r\n\n2"}}));
  EXPECT_EQ(fields_of(part(disposition, "1\r\n") + part(file, "1\r\n2\r\n") + part(b, "\r\n\r\n") + part(b, "\r\n") +
                      part(disposition, "\n1\n") + "--xyz--"),
            (Fields{{"b", "", "\r\n"}, {"a", "1", "\n1"}}));
  EXPECT_EQ(fields_of(part(disposition, "1\r\n2")), Fields{});
}

TEST(MultipartFields, AreSeenByRulesAsTheyAre) {
  const auto fires = [](const std::string& value, std::uint32_t rule) {
    return find(run(post(std::string(form_data), part(disposition, value + "\r\n") + "--xyz--\r\n")).outcome, rule) !=
           nullptr;
  };
  EXPECT_TRUE(fires("1' or '1'='1", 942100));
  EXPECT_TRUE(fires("1'\r\nor\r\n'1'='1", 942100));
  EXPECT_TRUE(fires("<img\r\nsrc=x\r\nonerror\r\n=\r\nalert(1)>", 941100));
  EXPECT_FALSE(fires("1\r\n2", 942100));

  config::TenantConfig config = tenant();
  config.waf.rules_after =
      "SecRule ARGS:a \"@streq x\" \"id:10001,phase:2,pass,log\"\n"
      "SecRule ARGS_POST:a \"@rx ^1\\r\\n2$\" \"id:10002,phase:2,pass,log\"\n"
      "SecRule ARGS:a \"@rx ^1\\r\\n2$\" \"id:10003,phase:2,pass,log\"\n"
      "SecRule ARGS \"@streq 12\" \"id:10004,phase:2,pass,log\"\n"
      "SecRule &ARGS \"@eq 3\" \"id:10005,phase:2,pass,log\"\n";
  const auto policy = policy_of(config);
  const Request request = post(std::string(form_data),
                               part(disposition, "1\r\n2\r\n") + part(disposition, "x\r\n") + "--xyz--\r\n", "/?a=y");
  EXPECT_THAT(ids(run(*policy, request).outcome), ::testing::UnorderedElementsAre(10001, 10002, 10003, 10005));

  // The library reads pieces of 4 KiB.
  config.waf.rules_after = "SecRule ARGS:a \"@rx a\\r\\n2\\n3$\" \"id:10001,phase:2,pass,log\"\n";
  const auto long_lines = policy_of(config);
  for (std::size_t bytes = 4'090; bytes < 4'100; ++bytes) {
    const std::string value = std::string(bytes, 'a') + "\r\n2\n3\r\n";
    const Request longer = post(std::string(form_data), part(disposition, value) + "--xyz--\r\n");
    EXPECT_THAT(ids(run(*long_lines, longer).outcome), Contains(10001u)) << bytes;
  }
}

TEST(MultipartFields, WithEscapesInTheirNamesAreReadInSeveralWays) {
  const auto is_certain = [](const std::string& body) {
    return fields_of_several_lines(body, form_data, [](const auto&, const auto&, const auto&) {});
  };
  for (const std::string_view names :
       {R"(name="a\\"; filename="x")", R"(name="a\"; filename="x")", R"(name="a"; filename="x\\")", R"(name="a\"b")",
        R"(name="a"; filename="\\server\share\a")", R"(name="a"; filename="x\)"})
    for (const std::string_view field : {"Content-Disposition: form-data; ", "content-disposition : form-data; "})
      EXPECT_FALSE(is_certain(part(std::string(field) + std::string(names) + "\r\n"))) << names;
  EXPECT_TRUE(is_certain(part(std::string(disposition) + "X-A: \\\\ \\\"\r\n")));
}

TEST(MultipartFields, AreSeenByRulesHoweverTheirHeadsAreWritten) {
  for (const std::string_view parameters :
       {"name=\"a\"", "name=\"a\";", "name= \"a\"", "name =\"a\"", "name\t=\ta ;", "name=a",
        "filename=\"\"; name=\"a\"", "name=\"a\"; name=\"b\"", "name=\"a\"; filename=\"\"; filename=\"b\"",
        "name=\"a\"; ", "NAME=\"a\"", "name='a'"})
    for (const std::string_view value : {"1'\r\nor\r\n'1'='1", "1'\r\nor\r\n'1'='1\r\r\n\n.", "1'\nor\n'1'='1"}) {
      const std::string head = "Content-Disposition: form-data; " + std::string(parameters) + "\r\n";
      const auto result = run(post(std::string(form_data), part(head, std::string(value) + "\r\n") + "--xyz--\r\n"));
      EXPECT_EQ(result.last, Step::deny) << parameters << "\n" << value;
    }
}

TEST(MultipartFields, HaveNoLinesWithinLines) {
  // CR alone ends a line for some upstreams.
  const std::string file = "Content-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n";
  const std::string field = "Content-Disposition: form-data; name=\"id\"";
  for (const std::string& body :
       {part("X: y\r" + field + "\r\n" + file, "1 or 1=1\r\n"), part(file, "x\r--xyz\r" + field + "\r\r1 or 1=1\r\n"),
        part(file, std::string(5'000, 'x') + "\r--xyz\r" + field + "\r\r1 or 1=1\r\n"),
        part(file + "\rX: y\r\n", "1\r\n"), part(disposition, "x\r--xyz--\r\n"), "a\r--xyz\r\n" + part(file, "1\r\n")})
    EXPECT_EQ(run(post(std::string(form_data), body + "--xyz--\r\n")).last, Step::deny) << body;
  for (const std::string& data : {"a\rb\r\r\n", "\r--xy\r\n", "a\r\r\n"})
    for (const std::string_view head : {std::string_view(file), std::string_view(disposition)})
      EXPECT_EQ(run(post(std::string(form_data), part(head, data) + "--xyz--\r\n")).last, Step::proceed) << data;
}

TEST(MultipartFields, AreOfOneKindToAllReaders) {
  const auto run_with = [](std::string_view parameters) {
    const std::string head = "Content-Disposition: form-data; " + std::string(parameters) + "\r\n";
    return run(post(std::string(form_data), part(head, "1\r\n") + "--xyz--\r\n"));
  };
  EXPECT_EQ(run_with("name=\"a\"; filename=\"b\"").last, Step::proceed);
  EXPECT_EQ(run_with("name=\"a\"; filename=\"\"").last, Step::proceed);
  // The first of two is the field's to some, the last the file's to the engine.
  EXPECT_NE(find(run_with("name=\"a\"; filename=\"\"; filename=\"b\"").outcome, 200009), nullptr);
}

TEST(MultipartBoundary, MayBeInQuotes) {
  // .NET, JavaMail and Python write them so.
  for (const std::string boundary :
       {"6f9619ff-8b86-d011-b42d-00cf4fc964ff", "----=_Part_0_1.2", "===============12==", "a+b/c:d(e)?=="}) {
    const auto run_with = [&](const std::string& value) {
      const std::string body =
          "--" + boundary + "\r\n" + std::string(disposition) + "\r\n" + value + "\r\n--" + boundary + "--\r\n";
      return run(post("multipart/form-data; boundary=\"" + boundary + '"', body));
    };
    EXPECT_THAT(ids(run_with("1").outcome), IsEmpty()) << boundary;
    EXPECT_NE(find(run_with("1' or '1'='1").outcome, 942100), nullptr) << boundary;
  }
}

TEST(MultipartBounds, TakesWhateverIsNoMultipart) {
  for (const std::string_view body :
       {"", "\n", "-", "--", "--xyz", "--xyz\n", "--xyz--", "--xyz\r\n\r\n", "--xyz\r\n\r"})
    EXPECT_TRUE(multipart_is_within_bounds(body, form_data)) << body;
}

// --- with the rules

TEST(BodyBounds, RefusesXmlThatCostsMore) {  // 200008
  const std::string body = "<a" + attributes(100'000) + "/>";
  for (const char* type : {"text/xml", "application/soap+xml; charset=utf-8"}) {
    const Result result = run(post(type, body));
    EXPECT_EQ(result.last, Step::deny);
    EXPECT_EQ(result.outcome.status, 400);
    EXPECT_THAT(ids(result.outcome), Contains(200008u));
  }
  EXPECT_THAT(ids(run(post("text/plain", body)).outcome), Not(Contains(200008u)));
  EXPECT_THAT(ids(run(post("text/xml", "<a" + attributes(20) + "/>")).outcome), IsEmpty());
}

TEST(BodyBounds, LeaveWhatIsNoXmlToTheParser) {  // 200002
  for (const std::string& body :
       {std::string("test"), std::string("a"), std::string(" {\"a\": 1}"), "test<a" + attributes(100'000) + "/>"}) {
    const Result result = run(post("text/xml", body));
    EXPECT_EQ(result.last, Step::deny);
    EXPECT_EQ(result.outcome.status, 400);
    EXPECT_THAT(ids(result.outcome), AllOf(Contains(200002u), Not(Contains(200008u)))) << body.substr(0, 20);
  }
}

TEST(BodyBounds, RefusesMultipartThatCostsMore) {  // 200009
  const Result result = run(post(std::string(form_data), part(std::string(disposition) + repeated(" x\r\n", 10'000))));
  EXPECT_EQ(result.last, Step::deny);
  EXPECT_EQ(result.outcome.status, 400);
  EXPECT_THAT(ids(result.outcome), Contains(200009u));
  EXPECT_THAT(ids(run(post(std::string(form_data), part(disposition) + "--xyz--\r\n")).outcome), IsEmpty());
}

// The tree of an XML body goes after phase 2, unless rules look at it later.
TEST(BodyBounds, KeepsNoTreeThatNobodyLooksAt) {
  config::TenantConfig config = tenant();
  const auto grown_by = [&](const Policy& policy) {
    std::vector<std::unique_ptr<Transaction>> all;
    const std::string body = "<a>" + repeated("<b/>", 40'000) + "</a>";
    const std::size_t before = mallinfo2().uordblks;
    for (int i = 0; i < 4; ++i) {
      all.push_back(crs_engine().begin(policy,
                                       {.request_id = "x",
                                        .client_ip = "192.0.2.1",
                                        .server_ip = "192.0.2.2",
                                        .method = "POST",
                                        .target = "/",
                                        .http_version = "1.1"},
                                       std::chrono::seconds(20)));
      for (const auto& [name, value] : post("text/xml", body).headers) all.back()->add_request_header(name, value);
      EXPECT_EQ(all.back()->request_headers(), Step::proceed);
      all.back()->append_request_body(body);
      EXPECT_GT(all.back()->tree_bytes(), 5'000'000);
      EXPECT_EQ(all.back()->request_body(), Step::proceed);
    }
    const std::size_t after = mallinfo2().uordblks;
    const bool kept = all.back()->tree_bytes() > 0;
    for (const auto& transaction : all) EXPECT_FALSE(transaction->finish().engine_error);
    return std::pair(after > before ? (after - before) / all.size() : 0, kept);
  };
  const auto [bytes, kept] = grown_by(*policy_of(config));
  EXPECT_LT(bytes, 1'000'000);
  EXPECT_FALSE(kept);
  config.waf.rules_before = "SecRule REQUEST_BODY \"@streq x\" \"id:10001,phase:3,deny\"\n";
  EXPECT_TRUE(grown_by(*policy_of(config)).second);
}

// An attack in it is not seen, which is why it does not count as inspected.
TEST(BodyBounds, DoesNotGiveTheParserWhatDetectModeLetsPass) {
  config::TenantConfig config = tenant();
  config.waf.mode = config::WafMode::detect;
  const auto policy = policy_of(config);
  const auto left_out = [&](const std::string& body) {
    const auto transaction = crs_engine().begin(*policy,
                                                {.request_id = "x",
                                                 .client_ip = "192.0.2.1",
                                                 .server_ip = "192.0.2.2",
                                                 .method = "POST",
                                                 .target = "/",
                                                 .http_version = "1.1"},
                                                std::chrono::seconds(20));
    transaction->add_request_header("Content-Type", "text/xml");
    EXPECT_EQ(transaction->request_headers(), Step::proceed);
    transaction->append_request_body(body);
    EXPECT_EQ(transaction->request_body(), Step::proceed);
    const bool out = transaction->left_body_out();
    const bool seen = find(transaction->finish(), 942100) != nullptr;
    EXPECT_NE(out, seen);
    return out;
  };
  EXPECT_TRUE(left_out("<a" + attributes(1'000) + ">1' or 1=1-- </a>"));
  EXPECT_FALSE(left_out("<a" + attributes(10) + ">1' or 1=1-- </a>"));
}

}  // namespace
}  // namespace gatehouse::waf::testing
