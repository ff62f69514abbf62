#include "mutation.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <string_view>

namespace gatehouse::screen_test {
namespace {

// What rules look for, whole and in parts: a piece that is almost a match is worth as much as one that is.
constexpr std::string_view pieces[] = {"' or 1=1--",
                                       "1' and '1'='1",
                                       "\" or \"\"=\"",
                                       "union select",
                                       "UNION/**/ALL/**/SELECT",
                                       "sleep(5)",
                                       "waitfor delay '0:0:5'",
                                       "select * from users",
                                       "; drop table x",
                                       "information_schema",
                                       "benchmark(1,2)",
                                       "char(0x41)",
                                       "0x61646d696e",
                                       "||",
                                       "&&",
                                       "<script>",
                                       "</script",
                                       "<svg/onload=alert(1)>",
                                       "javascript:",
                                       "onerror=",
                                       "<img src=x>",
                                       "expression(",
                                       "<iframe",
                                       "<!--",
                                       "-->",
                                       "<!DOCTYPE",
                                       "<?php",
                                       "<?xml",
                                       "<![CDATA[",
                                       "data:text/html;base64,PHN2Zz4=",
                                       "vbscript:",
                                       "&#x6a;",
                                       "&lt;",
                                       "&#60",
                                       "../",
                                       "..\\",
                                       "....//",
                                       "/etc/passwd",
                                       "c:\\windows\\win.ini",
                                       "/proc/self/environ",
                                       ".htaccess",
                                       "web.config",
                                       ".git/",
                                       "%c0%ae",
                                       ";ls -la",
                                       "|id",
                                       "`id`",
                                       "$(id)",
                                       "${IFS}",
                                       "$((1+1))",
                                       "cmd /c dir",
                                       "powershell",
                                       "wget http://x",
                                       "/bin/sh",
                                       "nc -e",
                                       "| cat",
                                       "() { :;};",
                                       "${jndi:ldap://x}",
                                       "#{7*7}",
                                       "{{7*7}}",
                                       "<%= 1 %>",
                                       "O:8:\"stdClass\":0:{}",
                                       "rO0ABX",
                                       "java.lang.Runtime",
                                       "php://input",
                                       "file:///",
                                       "http://127.0.0.1/",
                                       "http://[::1]/",
                                       "gopher://",
                                       "phar://",
                                       "eval(",
                                       "system(",
                                       "base64_decode(",
                                       "$_GET[",
                                       "preg_replace",
                                       "__proto__",
                                       "constructor",
                                       "require('fs')",
                                       "process.env",
                                       "\\u003c",
                                       "\\x3c",
                                       "\\0",
                                       "\t",
                                       "\v",
                                       "\f",
                                       " ",
                                       "  ",
                                       "\xC2\xA0",
                                       "\xE3\x80\x80",
                                       "\xEF\xBC\x9C",
                                       "\xC0\xBC",
                                       "\xFF",
                                       "\x80",
                                       "\xE2\x80\xA8",
                                       "%",
                                       "%%",
                                       "%3",
                                       "%zz",
                                       "%u003c",
                                       "+",
                                       "&",
                                       "=",
                                       ";",
                                       ",",
                                       "#",
                                       "'",
                                       "\"",
                                       "`",
                                       "(",
                                       ")",
                                       "[",
                                       "]",
                                       "{",
                                       "}",
                                       "<",
                                       ">",
                                       "/*",
                                       "*/",
                                       "--",
                                       "//",
                                       "./",
                                       "/.",
                                       "^",
                                       "@",
                                       "\\",
                                       "a=1&a=2",
                                       "[]",
                                       "[0]",
                                       "[a][b]",
                                       "http/1.1",
                                       "HTTP/1.0",
                                       "Content-Type: text/html",
                                       "Set-Cookie: a=b",
                                       "(?i)",
                                       "sqlmap",
                                       "nikto",
                                       "masscan",
                                       "Mozilla/5.0",
                                       "true",
                                       "null",
                                       "-1",
                                       "1e309",
                                       "99999999999999999999",
                                       "0",
                                       "",
                                       "Straße",
                                       "naïve",
                                       "größe",
                                       "日本語"};

constexpr std::string_view types[] = {"application/x-www-form-urlencoded",
                                      "application/x-www-form-urlencoded; charset=utf-8",
                                      "APPLICATION/X-WWW-FORM-URLENCODED",
                                      "application/x-www-form-urlencodedx",
                                      "application/json",
                                      "application/json; charset=utf-8",
                                      "text/json",
                                      "application/ld+json",
                                      "application/vnd.api+json",
                                      "application/jsonx",
                                      "application/xml",
                                      "text/xml; charset=utf-8",
                                      "application/soap+xml",
                                      "image/svg+xml",
                                      "text/plain",
                                      "text/plain; charset=utf-7",
                                      "application/json; charset=utf-16",
                                      "multipart/form-data",
                                      "multipart/form-data; boundary=x",
                                      "multipart/form-data; boundary=\"x\"",
                                      "multipart/mixed; boundary=x",
                                      "multipart/related",
                                      "application/octet-stream",
                                      "application/csp-report",
                                      "text/html",
                                      "*/*",
                                      "",
                                      "application/json, text/plain",
                                      ";",
                                      "a/b; c=d; e=\"f\""};

constexpr std::string_view field_names[] = {"User-Agent",
                                            "Referer",
                                            "Accept",
                                            "Accept-Language",
                                            "Accept-Encoding",
                                            "X-Requested-With",
                                            "Origin",
                                            "Range",
                                            "Authorization",
                                            "X-Forwarded-For",
                                            "X-Filename",
                                            "Cookie",
                                            "Content-Type",
                                            "Content-Encoding",
                                            "X-Custom",
                                            "Cache-Control",
                                            "If-None-Match",
                                            "Connection",
                                            "X-HTTP-Method-Override",
                                            "Proxy",
                                            "Expect",
                                            "Upgrade-Insecure-Requests",
                                            "Sec-Fetch-Mode",
                                            "Via",
                                            "x.y",
                                            "X-A"};

constexpr std::string_view field_values[] = {"",
                                             "*",
                                             "*/*",
                                             "gzip",
                                             "identity",
                                             "bytes=0-1,2-3,4-5,6-7,8-9",
                                             "bytes=0-",
                                             "keep-alive",
                                             "close",
                                             "close, keep-alive",
                                             "XMLHttpRequest",
                                             "Mozilla/5.0 (X11; Linux x86_64)",
                                             "sqlmap/1.0",
                                             "python-requests/2.31",
                                             "de-DE,de;q=0.9",
                                             "Bearer a.b.c",
                                             "Basic YTpi",
                                             "https://shop.example/a?b=c",
                                             "http://evil.example/<script>",
                                             "100-continue",
                                             "a=b; c=\"d e\"; f",
                                             "session=1; session=2",
                                             "$Version=1; a=b",
                                             "a",
                                             "application/json;q=0.9",
                                             "text/html;charset=utf-8",
                                             "\xFF\xFE",
                                             "ä",
                                             "() { x;}"};

class Mutator {
 public:
  Mutator(Request request, std::uint64_t seed, std::span<const Request> others)
      : random_(seed), request_(std::move(request)), others_(others) {}

  Request run() {
    const unsigned changes = 1 + below(4);
    for (unsigned i = 0; i < changes; ++i) change();
    tidy();
    return std::move(request_);
  }

 private:
  std::size_t below(std::size_t end) { return end == 0 ? 0 : random_() % end; }
  bool one_in(unsigned n) { return below(n) == 0; }
  template <std::size_t N>
  std::string_view any(const std::string_view (&list)[N]) {
    return list[below(N)];
  }

  void change() {
    switch (below(12)) {
      case 0: change_path(); break;
      case 1:
      case 2: change_arguments(query()); break;
      case 3:
      case 4: change_header(); break;
      case 5: add_header(); break;
      case 6: change_cookie(); break;
      case 7: change_type(); break;
      case 8:
      case 9:
      case 10: change_body(); break;
      default: change_line(); break;
    }
  }

  // --- parts of the request

  // The query, as something that is written back when it goes.
  struct Query {
    Mutator& owner;
    std::string text;
    explicit Query(Mutator& mutator) : owner(mutator) {
      const std::size_t question = owner.request_.target.find('?');
      if (question != std::string::npos) text = owner.request_.target.substr(question + 1);
    }
    ~Query() {
      std::string& target = owner.request_.target;
      target.erase(std::min(target.find('?'), target.size()));
      if (!text.empty()) target += '?' + text;
    }
    Query(const Query&) = delete;
    Query& operator=(const Query&) = delete;
  };
  Query query() { return Query(*this); }

  void change_path() {
    std::string& target = request_.target;
    const std::size_t end = std::min(target.find('?'), target.size());
    std::string path = target.substr(0, end);
    path = one_in(2) ? path + std::string(any(pieces)) : changed(path, true);
    if (!path.starts_with('/')) path.insert(0, "/");
    target.replace(0, end, path);
  }

  void change_arguments(Query&& query) { query.text = changed_arguments(query.text); }

  std::string changed_arguments(const std::string& text) {
    std::vector<std::string> arguments;
    for (std::size_t at = 0; at <= text.size();) {
      const std::size_t end = std::min(text.find('&', at), text.size());
      arguments.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    std::string& one = arguments[below(arguments.size())];
    const std::string before = one;
    switch (below(9)) {
      case 0: arguments.push_back(before); break;  // twice
      case 1: arguments.push_back(before.substr(0, before.find('=')) + '=' + encoded(std::string(any(pieces)))); break;
      case 2: arguments.push_back(encoded(std::string(any(pieces))) + '=' + encoded(std::string(any(pieces)))); break;
      case 3:
        one = before.substr(0, before.find('=')) +
              "[]=" + before.substr(std::min(before.find('='), before.size() - 1) + 1);
        break;
      case 4: std::ranges::shuffle(arguments, random_); break;
      case 5: one = before + encoded(std::string(any(pieces))); break;
      case 6: one = encoded(other_value()); break;
      default: one = changed(before, true); break;
    }
    std::string out;
    for (const std::string& argument : arguments) out += (out.empty() ? "" : one_in(40) ? ";" : "&") + argument;
    return out;
  }

  void change_header() {
    if (request_.headers.empty()) return;
    auto& [name, value] = request_.headers[below(request_.headers.size())];
    switch (below(6)) {
      case 0: value = any(field_values); break;
      case 1: value += any(pieces); break;
      case 2: value = any(pieces); break;
      case 3:
        std::ranges::transform(name, name.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
        break;
      case 4:
        request_.headers.erase(request_.headers.begin() + static_cast<std::ptrdiff_t>(below(request_.headers.size())));
        break;
      default: value = changed(value, false); break;
    }
  }

  void add_header() {
    std::string value(one_in(2) ? any(field_values) : any(pieces));
    if (one_in(8)) value = other_value();
    request_.headers.insert(request_.headers.begin() + static_cast<std::ptrdiff_t>(below(request_.headers.size() + 1)),
                            {std::string(any(field_names)), std::move(value)});
  }

  void change_cookie() {
    for (auto& [name, value] : request_.headers) {
      if (name != "Cookie" && name != "cookie") continue;
      value =
          one_in(2) ? changed(value, false) : value + "; " + std::string(any(pieces)) + '=' + std::string(any(pieces));
      return;
    }
    request_.headers.emplace_back("Cookie", "a=" + std::string(any(pieces)) + "; b=" + std::string(any(pieces)));
  }

  std::string* type() {
    for (auto& [name, value] : request_.headers)
      if (name.size() == 12 && std::ranges::equal(name, std::string_view("content-type"),
                                                  [](char a, char b) { return (a | 0x20) == b || a == b; }))
        return &value;
    return nullptr;
  }

  void change_type() {
    std::string* const value = type();
    if (value == nullptr) {
      request_.headers.emplace_back("Content-Type", std::string(any(types)));
    } else if (one_in(3)) {
      *value = changed(*value, false);
    } else {
      *value = any(types);
    }
  }

  void change_body() {
    if (request_.body.empty()) return make_body();
    const std::string* const value = type();
    const bool form = value == nullptr || value->starts_with("application/x-www-form");
    if (form && one_in(2)) {
      request_.body = changed_arguments(request_.body);
      return;
    }
    // Within quotes or tags it stays what it is more often.
    if (const std::size_t quote = request_.body.find('"', below(request_.body.size()));
        quote != std::string::npos && one_in(2)) {
      std::string piece(one_in(4) ? other_value() : std::string(any(pieces)));
      if (!one_in(3))
        std::erase_if(piece, [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < ' '; });
      request_.body.insert(quote + 1, piece);
      return;
    }
    request_.body = changed(request_.body, form);
  }

  void make_body() {
    if (request_.method == "GET" && !one_in(4)) request_.method = "POST";
    std::string* value = type();
    if (value == nullptr) value = &request_.headers.emplace_back("Content-Type", "").second;
    const std::string name(one_in(2) ? "name" : any(pieces));
    const std::string content = one_in(3) ? other_value() : std::string(any(pieces));
    const auto quoted = [](std::string text) {
      std::erase_if(text, [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < ' '; });
      return text;
    };
    switch (below(5)) {
      case 0:
        *value = "application/x-www-form-urlencoded";
        request_.body = encoded(name) + '=' + encoded(content);
        break;
      case 1:
        *value = "application/json";
        request_.body = "{\"" + quoted(name) + "\":[\"" + quoted(content) + "\",{\"a\":1,\"b\":[]}]}";
        break;
      case 2: {
        *value = "multipart/form-data; boundary=XyZ";
        const bool file = one_in(2);
        request_.body =
            "--XyZ\r\nContent-Disposition: form-data; name=\"" + quoted(name) + '"' +
            (file ? "; filename=\"" + quoted(std::string(any(pieces))) + "\"\r\nContent-Type: text/plain" : "") +
            "\r\n\r\n" + content + "\r\n--XyZ--\r\n";
        break;
      }
      case 3:
        *value = "application/xml";
        request_.body = "<?xml version=\"1.0\"?><a b=\"" + quoted(name) + "\"><c>" + quoted(content) + "</c></a>";
        break;
      default:
        *value = any(types);
        request_.body = content;
        break;
    }
  }

  void change_line() {
    constexpr std::string_view methods[] = {"GET",    "HEAD",    "POST",     "PUT",   "PATCH",
                                            "DELETE", "OPTIONS", "PROPFIND", "TRACE", "FOO"};
    if (one_in(3))
      request_.version = request_.version == "1.1" ? (one_in(2) ? "2" : "1.0") : "1.1";
    else
      request_.method = any(methods);
  }

  std::string other_value() {
    if (others_.empty()) return std::string(any(pieces));
    const Request& other = others_[below(others_.size())];
    if (!other.body.empty() && one_in(2)) {
      const std::size_t at = below(other.body.size());
      return other.body.substr(at, 1 + below(60));
    }
    if (const std::size_t question = other.target.find('?'); question != std::string::npos)
      return other.target.substr(question + 1, 80);
    return other.headers.empty() ? "" : other.headers[below(other.headers.size())].second;
  }

  // --- texts

  static std::string hex(unsigned char byte, const char* digits = "0123456789abcdef") {
    return {digits[byte >> 4], digits[byte & 15]};
  }

  // What a browser would write for it in a form.
  std::string encoded(const std::string& text) {
    std::string out;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                         c == '_' || c == '.';
      if (plain)
        out += c;
      else if (c == ' ')
        out += one_in(2) ? "+" : "%20";
      else
        out += '%' + (one_in(2) ? hex(byte) : hex(byte, "0123456789ABCDEF"));
    }
    return out;
  }

  // `in_url`: what is inserted is encoded more often than not.
  std::string changed(std::string text, bool in_url) {
    if (text.empty()) return in_url ? encoded(std::string(any(pieces))) : std::string(any(pieces));
    const std::size_t at = below(text.size());
    const std::size_t size = 1 + below(std::min<std::size_t>(text.size() - at, 12));
    const std::string part = text.substr(at, size);
    std::string to;
    switch (below(13)) {
      case 0:
        for (const char c : part) to += '%' + hex(static_cast<unsigned char>(c));
        break;
      case 1:
        for (const char c : part) to += "%25" + hex(static_cast<unsigned char>(c));
        break;
      case 2:
        for (const char c : part) to += "%u00" + hex(static_cast<unsigned char>(c));
        break;
      case 3:
        for (const char c : part)
          to += static_cast<char>(std::isalpha(static_cast<unsigned char>(c)) != 0 ? c ^ 0x20 : c);
        break;
      case 4: break;  // taken out
      case 5: to = part + part; break;
      case 6:
        for (const char c : part) to += "&#" + std::to_string(static_cast<unsigned char>(c)) + (one_in(2) ? ";" : "");
        break;
      case 7:
        for (const char c : part) to += (one_in(2) ? "\\x" : "\\u00") + hex(static_cast<unsigned char>(c));
        break;
      case 8:  // full width
        for (const char c : part)
          to += c > ' ' && c < '\x7f' ? std::string{'\xEF', static_cast<char>(0xBC + (c >= 0x60 ? 1 : 0)),
                                                    static_cast<char>(0x80 + ((c - 0x20) & 0x3F))}
                                      : std::string(1, c);
        break;
      case 9: to = part + "/**/"; break;
      case 10: to = std::string(1, static_cast<char>(below(256))); break;
      default: {
        const std::string piece(any(pieces));
        to = (in_url && !one_in(4) ? encoded(piece) : piece) + part;
        break;
      }
    }
    return text.replace(at, size, to);
  }

  // --- what the gateway would never hand on

  void tidy() {
    std::string target;
    for (const char c : request_.target) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte > ' ' && byte < 0x7F && c != '#')
        target += c;
      else
        target += '%' + hex(byte);
    }
    if (target.empty() || target[0] != '/') target.insert(0, "/");
    request_.target = target.substr(0, 8'000);
    for (auto& [name, value] : request_.headers) {
      std::erase_if(value, [](char c) { return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == '\x7f'; });
      const std::size_t begin = std::min(value.find_first_not_of(" \t"), value.size());
      value = value.substr(begin, value.find_last_not_of(" \t") + 1 - begin);
    }
    // What says how long the body is must say it.
    std::erase_if(request_.headers, [](const auto& field) {
      return std::ranges::equal(field.first, std::string_view("content-length"),
                                [](char a, char b) { return (a | 0x20) == b || a == b; });
    });
    if (!request_.body.empty()) request_.headers.emplace_back("Content-Length", std::to_string(request_.body.size()));
  }

  std::mt19937_64 random_;
  Request request_;
  std::span<const Request> others_;
};

}  // namespace

Request mutated(const Request& request, std::uint64_t seed, std::span<const Request> others) {
  return Mutator(request, seed, others).run();
}

}  // namespace gatehouse::screen_test
