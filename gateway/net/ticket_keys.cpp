// Keys of session tickets; see ticket_keys.hpp.
#include "gateway/net/ticket_keys.hpp"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <stdexcept>

namespace gatehouse::net {

TicketKey::~TicketKey() {
  OPENSSL_cleanse(cipher_key.data(), cipher_key.size());
  OPENSSL_cleanse(mac_key.data(), mac_key.size());
}

TicketKey TicketKey::generate(Time active_from) {
  TicketKey key;
  key.active_from = active_from;
  if (RAND_bytes(key.name.data(), static_cast<int>(key.name.size())) != 1 ||
      RAND_priv_bytes(key.cipher_key.data(), static_cast<int>(key.cipher_key.size())) != 1 ||
      RAND_priv_bytes(key.mac_key.data(), static_cast<int>(key.mac_key.size())) != 1)
    throw std::runtime_error("no random bytes for the keys of session tickets");
  return key;
}

TicketKeys::TicketKeys(std::vector<TicketKey> keys) : keys_(std::move(keys)) {
  std::ranges::sort(keys_, std::ranges::greater(), &TicketKey::active_from);
}

const TicketKey& TicketKeys::current(TicketKey::Time now) const noexcept {
  for (const TicketKey& key : keys_)
    if (key.active_from <= now) return key;
  return keys_.back();
}

const TicketKey* TicketKeys::find(std::span<const unsigned char, 16> name) const noexcept {
  for (const TicketKey& key : keys_)
    if (std::ranges::equal(key.name, name)) return &key;
  return nullptr;
}

std::shared_ptr<const TicketKeys> TicketKeys::rotated(const TicketKeys* keys, TicketKey::Time now,
                                                      std::chrono::seconds lead) {
  std::vector<TicketKey> next;
  if (keys != nullptr)
    for (const TicketKey& key : keys->all())
      // One from the far future was made by a clock that was wrong: it would be the youngest until then, never replaced.
      if (now < key.active_from + life && key.active_from <= now + rotation) next.push_back(key);
  const bool is_due = next.empty() || now >= next.front().active_from + rotation;
  if (!is_due && keys != nullptr && next.size() == keys->all().size()) return nullptr;
  if (is_due) next.push_back(TicketKey::generate(next.empty() ? now : now + lead));
  return std::make_shared<const TicketKeys>(std::move(next));
}

}  // namespace gatehouse::net
