// What a certifier has to do, and in which order; see certifier.hpp.
#include "acme/certifier.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

namespace gatehouse::acme {
namespace {

constexpr unsigned failures_for_fallback = 3;
constexpr Seconds failures_count_for = std::chrono::hours(1);  // Let's Encrypt: 5 of a name and account an hour

}  // namespace

Certifier::Need Certifier::need_of(const Entry& entry, Time now) const {
  if (!entry.is_wanted || entry.is_at_work) return Need::nothing;
  const CertificateRecord& record = entry.record;
  if (now >= entry.next_attempt()) {
    if (record.revoke && !record.chain.empty()) return Need::revocation;
    const AuthorityRef authority = authority_named(entry.authority);
    if (authority == nullptr) return Need::nothing;
    if (!entry.record.facts || record.renew_now || now >= record.renew_at) return Need::certificate;
    // Asked for otherwise than it was: another CA, kind of key or profile. One from the fallback is good until renewed.
    const bool is_imported = record.authority.empty();
    const bool is_from_fallback = !authority->fallback.empty() && record.authority != authority->directory;
    if (!is_imported && !is_from_fallback &&
        (record.authority != authority->directory || record.key_type != name_of(key_type_for(entry, *authority)) ||
         record.profile != authority->profile))
      return Need::certificate;
  }
  if (entry.record.facts && now >= std::max(record.ask_at, entry.hold.ask_at) && issuer_of(record) != nullptr)
    return Need::renewal_info;
  return Need::nothing;
}

// The kind that the host's CA is configured with; one that stands in for it may have kinds of its own.
KeyType Certifier::key_type_for(const Entry& entry, const Authority& authority) const {
  if (!entry.name.is_second) return authority.key_type;
  if (authority.second_key_type) return *authority.second_key_type;
  const AuthorityRef first = authority_named(entry.authority);
  return first && first->second_key_type ? *first->second_key_type : KeyType::rsa_2048;
}

// Those that have the same identifier validated: a host's two certificates, and those of the wildcard above it.
std::vector<Certifier::EntryRef> Certifier::siblings_of(const Entry& entry) const {
  Identifier other = entry.name.host;
  if (other.is_wildcard())
    other.value.erase(0, 2);
  else
    other.value.insert(0, "*.");
  std::vector<EntryRef> siblings = entries_of(entry.name.host);
  if (other.type == Identifier::Type::dns) std::ranges::move(entries_of(other), std::back_inserter(siblings));
  std::erase_if(siblings, [&](const EntryRef& sibling) { return sibling.get() == &entry || !sibling->is_wanted; });
  return siblings;
}

// Siblings are obtained one after the other: tls-alpn-01 has one answer for a name. And what the CA counts are failed
// validations of an identifier, whatever they were for; one that has not failed itself waits for an hour at most, which
// is how long they count.
bool Certifier::is_held_by_siblings(const Entry& entry, Need need, Time now) const {
  return std::ranges::any_of(siblings_of(entry), [&](const EntryRef& sibling) {
    if (sibling->is_at_work) return true;
    if (need != Need::certificate) return false;
    Time until = sibling->next_attempt();
    const Time failed_at = std::max(sibling->record.last_error_at, sibling->hold.failed_at);
    if (entry.failures() == 0) until = std::min(until, failed_at + failures_count_for);
    return now < until;
  });
}

// The CA that issues first, for nobody to use: its limits may be used up by mistakes in the DNS or the network. One that is
// away keeps nobody waiting for long.
AuthorityRef Certifier::rehearsal_for(const Entry& entry) {
  const AuthorityRef first = authority_named(entry.authority);
  if (first == nullptr || first->rehearsal.empty() || entry.record.authority == first->directory ||
      entry.record.rehearsed == first->directory)
    return nullptr;
  const AuthorityRef rehearsal = authority_named(first->rehearsal);
  return rehearsal && account_of(*rehearsal).failures < failures_for_fallback ? rehearsal : nullptr;
}

// The CA to be asked: the host's, or the one behind it while that is away. Null: nobody yet.
AuthorityRef Certifier::authority_for(const Entry& entry, Time now) {
  const AuthorityRef first = authority_named(entry.authority);
  if (first == nullptr) return nullptr;
  const auto is_usable = [&](const Authority& authority) {
    Account& account = account_of(authority);
    if (account.is_at_work || account.is_probing) return false;
    return now >= account.next_attempt && now >= account.limited_until;
  };
  if (const AuthorityRef rehearsal = rehearsal_for(entry)) return is_usable(*rehearsal) ? rehearsal : nullptr;
  const Account& account = account_of(*first);
  if (account.failures >= failures_for_fallback && now < account.next_attempt && !first->fallback.empty()) {
    const AuthorityRef second = authority_named(first->fallback);
    return second && is_usable(*second) ? second : nullptr;
  }
  return is_usable(*first) ? first : nullptr;
}

bool Certifier::may_start(const Entry& entry) {
  const bool has_failed = entry.failures() != 0;
  if (at_work_ >= most_at_once || (has_failed && failed_at_work_ >= most_at_once / 2)) return false;
  const auto tenant = tenants_at_work_.find(entry.tenant);
  return tenant == tenants_at_work_.end() || tenant->second < most_of_a_tenant;
}

void Certifier::start_work() {
  const Time now = environment_.now();
  const std::uint64_t fence = fleet_.fence();
  struct Due {
    EntryRef entry;
    Need need;
    Time since;
  };
  std::map<std::string, std::vector<Due>> due;  // by tenant
  for (auto& [name, entry] : entries_) {
    const Need need = need_of(*entry, now);
    if (need == Need::nothing) continue;
    // What has never failed comes first, then what expires first.
    const Time since = entry->record.facts ? entry->record.facts->not_after : Time{};
    due[entry->tenant].push_back({entry, need, since});
  }
  if (due.empty()) return;
  for (auto& [tenant, items] : due)
    std::ranges::sort(items, {},
                      [](const Due& item) { return std::tuple(item.entry->failures(), item.since, item.entry->name); });
  // One of each tenant by turns, beginning behind the one that was served last.
  bool has_started = true;
  while (has_started && at_work_ < most_at_once) {
    has_started = false;
    auto tenant = due.upper_bound(last_started_);
    for (std::size_t i = 0; i < due.size(); ++i, ++tenant) {
      if (tenant == due.end()) tenant = due.begin();
      auto& items = tenant->second;
      while (!items.empty()) {
        const Due item = std::move(items.front());
        items.erase(items.begin());
        if (item.entry->is_at_work || !may_start(*item.entry) || is_held_by_siblings(*item.entry, item.need, now))
          continue;
        const AuthorityRef authority =
            item.need == Need::certificate ? authority_for(*item.entry, now) : issuer_of(item.entry->record);
        if (authority == nullptr) continue;
        Account& account = account_of(*authority);
        if (now < account.next_attempt || account.is_at_work) continue;
        if (item.need == Need::renewal_info) {
          if (account.is_probing) continue;
          if (account.failures != 0) account.is_probing = true;
          environment_.spawn(ask_for_renewal(item.entry, authority, fence));
        } else if (!account.key || account.record.url.empty()) {
          environment_.spawn(register_account(authority, fence));
        } else if (item.need == Need::revocation) {
          environment_.spawn(revoke(item.entry, authority, fence));
        } else {
          if (account.failures != 0) account.is_probing = true;
          environment_.spawn(obtain(item.entry, authority, fence));
        }
        last_started_ = tenant->first;
        has_started = true;
        break;
      }
    }
  }
}

Flow<Done> Certifier::lead() {
  if (needs_restoring_ && environment_.now() >= restore_at_) co_await restore();
  if (challenges_wanted_ != challenges_stored_) co_await store_challenges();
  if (fleet_.is_leading()) start_work();
  co_return Done{};
}

}  // namespace gatehouse::acme
