// The kinds of text: names, paths, addresses, files. See kinds.hpp.
#include <fmt/format.h>

#include <algorithm>

#include "config/hostname.hpp"
#include "config/kinds.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

JsonObject schema_of_pattern(std::string_view pattern) {
  JsonObject schema = schema_of_type("string");
  schema.add_string("pattern", pattern);
  return schema;
}

}  // namespace

bool Text::read(Source& source, const Node& node, std::string& out) const {
  const std::string* text = string_of(source, node, expected);
  if (text == nullptr) return false;
  if (text->size() < least_bytes || text->size() > most_bytes) {
    source.error(node.at, text->empty() ? fmt::format("{} is expected here; it is empty", expected)
                                        : fmt::format("{} has at most {} bytes, this one has {}", expected, most_bytes,
                                                      text->size()));
    return false;
  }
  if (check == nullptr) {
    out = *text;
    return true;
  }
  auto checked = check(*text);
  if (!checked) {
    source.error(node.at, fmt::format("{} is not {}: it {}", cite(*text), expected, checked.error()));
    return false;
  }
  out = std::move(*checked);
  return true;
}

JsonObject Text::schema() const {
  JsonObject schema = schema_of_type("string");
  if (!pattern.empty())
    schema.add_string("pattern", pattern);
  else if (least_bytes > 0)
    schema.add("minLength", std::to_string(least_bytes));
  schema.add("maxLength", std::to_string(most_bytes));
  return schema;
}

Text name_text(std::string_view expected) {
  constexpr auto check = [](std::string_view text) -> Parsed<std::string> {
    if (text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") !=
        std::string_view::npos) {
      return std::unexpected("has characters other than letters, digits, '_', '.' and '-'");
    }
    if (text.front() == '.' || text.front() == '-')
      return std::unexpected("does not begin with a letter, a digit or '_'");
    return std::string(text);
  };
  return {expected, check, 63, "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"};
}

Text host_pattern_text() {
  return {"a host name", [](std::string_view text) -> Parsed<std::string> { return normalise_host_pattern(text); },
          1'000};
}

Text path_text() {
  constexpr auto check = [](std::string_view text) -> Parsed<std::string> {
    if (text.front() != '/') return std::unexpected("does not begin with '/'");
    std::string out;
    const auto hex = [](char c) {
      return c >= '0' && c <= '9'   ? c - '0'
             : c >= 'a' && c <= 'f' ? c - 'a' + 10
             : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                    : -1;
    };
    const auto unreserved = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             std::string_view("-._~").find(c) != std::string_view::npos;
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '%') {
        const int high = i + 2 < text.size() ? hex(text[i + 1]) : -1;
        const int low = i + 2 < text.size() ? hex(text[i + 2]) : -1;
        if (high < 0 || low < 0) return std::unexpected("has a '%' without two hexadecimal digits");
        const char decoded = static_cast<char>(high * 16 + low);
        if (decoded == '\0') return std::unexpected("has %00, which no request may have");
        if (unreserved(decoded))
          out += decoded;
        else
          out += fmt::format("%{:02X}", static_cast<unsigned char>(decoded));
        i += 2;
      } else if (c == '?' || c == '#') {
        return std::unexpected(fmt::format("has a '{}'; a query or fragment is no part of a path", c));
      } else if (unreserved(c) || std::string_view("/!$&'()*+,;=:@").find(c) != std::string_view::npos) {
        out += c;
      } else {
        return std::unexpected(fmt::format("has a character that is percent-encoded in a path: write it as %{:02X}",
                                           static_cast<unsigned char>(c)));
      }
    }
    if (out.find("//") != std::string::npos)
      return std::unexpected("has '//', which a request's path no longer has when it is compared");
    const std::string closed = out + "/";
    if (closed.find("/./") != std::string::npos || closed.find("/../") != std::string::npos) {
      return std::unexpected("has '.' or '..' as a segment, which a request's path no longer has when it is compared");
    }
    return out;
  };
  return {"a path", check, 2'048, "^/[^?#\\s]*$"};
}

Text field_name_text() {
  constexpr auto check = [](std::string_view text) -> Parsed<std::string> {
    if (!is_token(text)) return std::unexpected("has characters that a header name cannot have");
    return to_lower(text);
  };
  return {"a header name", check, 100, "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"};
}

Text method_text() {
  constexpr auto check = [](std::string_view text) -> Parsed<std::string> {
    if (!is_token(text)) return std::unexpected("has characters that a method cannot have");
    if (std::ranges::any_of(text, [](char c) { return c >= 'a' && c <= 'z'; }))
      return std::unexpected("has small letters; methods are case-sensitive, so write it in capitals");
    return std::string(text);
  };
  return {"a method", check, 40, "^[A-Z0-9!#$%&'*+.^_`|~-]+$"};
}

bool Address::read(Source& source, const Node& node, SocketAddress& out) const {
  const std::string* text = text_of(source, node, "an address with a port such as 127.0.0.1:8080 or [::]:8080");
  if (text == nullptr) return false;
  const auto address = SocketAddress::parse(*text);
  if (!address) {
    source.error(
        node.at,
        fmt::format(
            "{} is not an address with a port; write it as 127.0.0.1:8080 or [::]:8080 (names are not resolved here)",
            cite(*text)));
    return false;
  }
  out = *address;
  return true;
}

JsonObject Address::schema() const { return schema_of_pattern(R"(^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$)"); }

bool AddressOrNone::read(Source& source, const Node& node, std::optional<SocketAddress>& out) const {
  if (node.kind == Node::Kind::scalar && is_off(node)) {
    out.reset();
    return true;
  }
  SocketAddress address;
  if (!Address{}.read(source, node, address)) return false;
  out = address;
  return true;
}

JsonObject AddressOrNone::schema() const {
  JsonObject schema;
  schema.add("anyOf", json_array({Address{}.schema().to_string(), R"({"enum":["none","off",false]})"}));
  return schema;
}

bool Network::read(Source& source, const Node& node, Cidr& out) const {
  const std::string* text = text_of(source, node, "a network such as 10.0.0.0/8");
  if (text == nullptr) return false;
  const auto network = Cidr::parse(*text);
  if (network) {
    out = *network;
    return true;
  }
  // Host bits are the usual slip: say which network it would be.
  const auto slash = text->find('/');
  const auto address = IpAddress::parse(std::string_view(*text).substr(0, slash));
  const auto bits =
      slash == std::string::npos ? Parsed<std::uint64_t>(0) : parse_integer(std::string_view(*text).substr(slash + 1));
  const bool v4 = text->find(':') == std::string::npos;
  if (address && bits && *bits <= (v4 ? 32 : 128)) {
    const auto length = static_cast<unsigned>(*bits);
    const IpAddress network_address = v4 || !address->is_v4() ? address->truncated(length, length) : *address;
    source.error(node.at,
                 fmt::format("{} has bits set behind its prefix; write {}/{} for the network or {} for the one address",
                             cite(*text), network_address.to_string(), length, address->to_string()));
  } else {
    source.error(node.at,
                 fmt::format("{} is not a network; write it as 10.0.0.0/8, 2001:db8::/32 or one address", cite(*text)));
  }
  return false;
}

JsonObject Network::schema() const { return schema_of_pattern("^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"); }

bool File::read(Source& source, const Node& node, std::string& out) const {
  const std::string* text = string_of(source, node, "a path of a file");
  if (text == nullptr) return false;
  auto path = files.resolve(*text);
  if (!path) {
    source.error(node.at, path.error());
    return false;
  }
  if (must_exist && files.looks()) {
    if (const std::string reason = FileRules::why_unreadable(*path); !reason.empty()) {
      source.error(node.at, reason);
      source.miss(std::move(*path));
      return false;
    }
  }
  out = std::move(*path);
  return true;
}

bool LogFile::read(Source& source, const Node& node, std::string& out) const {
  if (node.kind == Node::Kind::scalar && is_off(node)) {
    out.clear();
    return true;
  }
  const std::string* text = string_of(source, node, "a file, '-' or off");
  if (text == nullptr) return false;
  if (*text == "-") {
    out = "-";
    return true;
  }
  auto path = files.resolve(*text);
  if (!path) {
    source.error(node.at, path.error());
    return false;
  }
  if (path->ends_with('/')) {
    source.error(node.at, fmt::format("{} is a folder; name a file in it", cite(*text)));
    return false;
  }
  out = std::move(*path);
  return true;
}

JsonObject LogFile::schema() const {
  JsonObject schema;
  schema.add("anyOf", json_array({R"({"type":"string","minLength":1})", R"({"enum":[false]})"}));
  return schema;
}

}  // namespace gatehouse::config
