// The keys of session tickets, shared by a fleet through its storage; rotated by whoever holds the lease. Without a common
// storage each gateway has its own.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "acme/fleet.hpp"
#include "gateway/net/ticket_keys.hpp"

namespace gatehouse::server {

[[nodiscard]] std::string write_ticket_keys(const net::TicketKeys& keys);
/// Null for what write_ticket_keys() has not written.
[[nodiscard]] std::shared_ptr<const net::TicketKeys> read_ticket_keys(std::string_view text);

class FleetTickets final : public acme::Fleet::Part {
 public:
  static constexpr std::string_view item = "tickets";
  static constexpr std::chrono::seconds lead_time{60};  // from a key's storage until it is used

  FleetTickets(acme::Environment& environment, acme::Fleet& fleet) : environment_(environment), fleet_(fleet) {
    fleet.add({item}, *this);
  }
  /// The keys that hold from now on.
  std::function<void(std::shared_ptr<const net::TicketKeys>)> on_keys;

  // acme::Fleet::Part
  acme::Flow<acme::Done> changed(acme::StoredItem item) override;
  void damaged(const std::string& name, std::uint64_t version) override;
  void forgotten() override;
  acme::Flow<acme::Done> lead() override;

 private:
  acme::Environment& environment_;
  acme::Fleet& fleet_;
  std::shared_ptr<const net::TicketKeys> keys_;
  std::uint64_t version_ = 0;
  bool is_stored_ = false;
};

}  // namespace gatehouse::server
