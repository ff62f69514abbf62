#include "request.hpp"

#include <nlohmann/json.hpp>

#include <fstream>

namespace gatehouse::screen_test {
namespace {

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

}  // namespace

Request parse_request(const std::string& line) {
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
    const std::size_t begin = std::min(field.find_first_not_of(' ', colon + 1), field.size());
    request.headers.emplace_back(field.substr(0, colon), field.substr(begin));
    at = end + 2;
  }
  return request;
}

std::vector<Request> read_requests(const std::string& file) {
  std::ifstream stream(file);
  if (!stream) throw std::runtime_error("cannot read " + file);
  std::vector<Request> out;
  for (std::string line; std::getline(stream, line);) out.push_back(parse_request(line));
  return out;
}

waf::RequestStart start_of(const Request& request, std::string& escaped) {
  escaped.clear();
  for (std::size_t i = 0; i < request.target.size(); ++i) {
    escaped += request.target[i];
    if (request.target.compare(i, 3, "%3f") == 0 || request.target.compare(i, 3, "%3F") == 0) escaped += "25";
  }
  waf::RequestStart start;
  start.request_id = "0123456789abcdef";
  start.client_ip = "198.51.100.7";
  start.client_port = 40000;
  start.server_ip = "127.0.0.1";
  start.server_port = 443;
  start.method = request.method;
  start.target = escaped;
  start.received = request.target;
  start.http_version = request.version;
  const std::string_view target = request.target;
  start.path = target.substr(0, target.find('?'));
  return start;
}

}  // namespace gatehouse::screen_test
