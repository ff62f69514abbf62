// Shared keys of session tickets; see fleet_tickets.hpp. A line a key: active_from, name, cipher key, MAC key in hex.
#include "gateway/server/fleet_tickets.hpp"

#include <fmt/format.h>

#include <charconv>
#include <span>

namespace gatehouse::server {

namespace {

constexpr std::string_view head = "gatehouse-tickets 1\n";
constexpr std::size_t most_keys = 16;

void append_hex(std::string& out, std::span<const unsigned char> bytes) {
  for (const unsigned char byte : bytes) out += fmt::format("{:02x}", byte);
}

bool read_hex(std::string_view& text, std::span<unsigned char> bytes) {
  if (text.size() < 2 * bytes.size()) return false;
  for (unsigned char& byte : bytes) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + 2, byte, 16);
    if (error != std::errc{} || end != text.data() + 2) return false;
    text.remove_prefix(2);
  }
  return true;
}

bool skip(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::string write_ticket_keys(const net::TicketKeys& keys) {
  std::string text(head);
  for (const net::TicketKey& key : keys.all()) {
    text += fmt::format("{} ", key.active_from.time_since_epoch().count());
    append_hex(text, key.name);
    text += ' ';
    append_hex(text, key.cipher_key);
    text += ' ';
    append_hex(text, key.mac_key);
    text += '\n';
  }
  return text;
}

std::shared_ptr<const net::TicketKeys> read_ticket_keys(std::string_view text) {
  if (!text.starts_with(head)) return nullptr;
  text.remove_prefix(head.size());
  std::vector<net::TicketKey> keys;
  while (!text.empty()) {
    net::TicketKey key;
    std::int64_t seconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error != std::errc{} || keys.size() == most_keys) return nullptr;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    key.active_from = net::TicketKey::Time(std::chrono::seconds(seconds));
    if (!skip(text, ' ') || !read_hex(text, key.name) || !skip(text, ' ') || !read_hex(text, key.cipher_key) ||
        !skip(text, ' ') || !read_hex(text, key.mac_key) || !skip(text, '\n'))
      return nullptr;
    keys.push_back(key);
  }
  if (keys.empty()) return nullptr;
  return std::make_shared<const net::TicketKeys>(std::move(keys));
}

acme::Flow<acme::Done> FleetTickets::changed(acme::StoredItem stored) {
  version_ = stored.version;
  is_stored_ = false;
  if (auto keys = read_ticket_keys(stored.value)) {
    is_stored_ = true;
    keys_ = std::move(keys);
    if (on_keys) on_keys(keys_);
  }
  co_return acme::Done{};
}

void FleetTickets::damaged(const std::string&, std::uint64_t version) {
  version_ = version;
  is_stored_ = false;
}

void FleetTickets::forgotten() {
  version_ = 0;
  is_stored_ = false;
}

acme::Flow<acme::Done> FleetTickets::lead() {
  auto next = net::TicketKeys::rotated(keys_.get(), environment_.now(), lead_time);
  if (!next && is_stored_) co_return acme::Done{};
  if (!next) next = keys_;
  const auto stored = co_await fleet_.put(std::string(item), write_ticket_keys(*next), version_, fleet_.fence());
  if (stored) {
    version_ = *stored;
    keys_ = std::move(next);
    is_stored_ = true;
    if (on_keys) on_keys(keys_);
  }
  co_return acme::Done{};
}

}  // namespace gatehouse::server
