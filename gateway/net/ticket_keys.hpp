// What session tickets are encrypted with (RFC 5077 section 4, RFC 8446 section 4.6.1). Immutable; each worker has a
// pointer to the present ones. All gateways of a fleet have the same, so that a client resumes its session at any of them.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <span>
#include <vector>

namespace gatehouse::net {

struct TicketKey {
  using Time = std::chrono::sys_seconds;
  std::array<unsigned char, 16> name{};
  std::array<unsigned char, 32> cipher_key{};  // AES-256-CBC
  std::array<unsigned char, 32> mac_key{};  // HMAC-SHA-256
  Time active_from{};  // not used for new tickets before: by then every gateway has it

  TicketKey() = default;
  TicketKey(const TicketKey&) = default;
  TicketKey& operator=(const TicketKey&) = default;
  ~TicketKey();  // wipes

  /// Throws std::runtime_error where there is no randomness.
  [[nodiscard]] static TicketKey generate(Time active_from);
};

class TicketKeys {
 public:
  static constexpr auto rotation = std::chrono::hours(12);
  static constexpr auto life = std::chrono::hours(36);  // from active_from: what a ticket's key is still known

  /// In any order; not empty.
  explicit TicketKeys(std::vector<TicketKey> keys);

  /// For new tickets: the last that is active.
  [[nodiscard]] const TicketKey& current(TicketKey::Time now) const noexcept;
  [[nodiscard]] const TicketKey* find(std::span<const unsigned char, 16> name) const noexcept;
  [[nodiscard]] const std::vector<TicketKey>& all() const noexcept { return keys_; }

  /// Those that hold on from `now`: without the outlived, with another where the last is as old as `rotation`. Null where
  /// there is nothing to change. `lead`: from now until a new one is active.
  [[nodiscard]] static std::shared_ptr<const TicketKeys> rotated(const TicketKeys* keys, TicketKey::Time now,
                                                                 std::chrono::seconds lead);

 private:
  std::vector<TicketKey> keys_;  // the youngest first
};

}  // namespace gatehouse::net
