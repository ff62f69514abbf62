// What is known and stored of certificates and accounts, and what people ask for; see certifier.hpp.
#include "acme/certifier.hpp"

#include <algorithm>
#include <utility>

#include "acme/renewal.hpp"

namespace gatehouse::acme {
namespace {

constexpr unsigned most_conflicts = 5;
constexpr std::uint64_t no_fence = 0;
constexpr Seconds restoring_pause(10);  // after a storage that has no room or cannot be written to

}  // namespace

// --- what is known

void Certifier::configure(std::vector<AuthorityRef> authorities, std::vector<Wanted> wanted) {
  authorities_ = std::move(authorities);
  std::map<CertificateName, bool> second_was_wanted;
  for (auto& [name, entry] : entries_) {
    if (name.is_second) second_was_wanted[name] = entry->is_wanted;
    entry->is_wanted = false;
  }
  for (const Wanted& item : wanted) {
    const AuthorityRef authority = authority_named(item.authority);
    for (const bool is_second : {false, true}) {
      if (is_second && (!authority || !authority->second_key_type)) continue;
      const CertificateName name{item.name, is_second};
      EntryRef& entry = entries_[name];
      if (!entry) entry = std::make_shared<Entry>();
      entry->name = name;
      entry->tenant = item.tenant;
      entry->authority = item.authority;
      entry->is_wanted = true;
    }
  }
  std::erase_if(entries_, [](const auto& item) {
    return !item.second->is_wanted && item.second->version == 0 && !item.second->is_at_work;
  });
  if (!on_certificate) return;
  for (const auto& [name, was_wanted] : second_was_wanted)
    if (const auto found = entries_.find(name);
        found != entries_.end() && found->second->is_wanted != was_wanted && !found->second->record.chain.empty())
      on_certificate(name.host);
}

AuthorityRef Certifier::authority_named(const std::string& name) const {
  const auto found = std::ranges::find_if(authorities_, [&](const auto& authority) { return authority->name == name; });
  return found == authorities_.end() ? nullptr : *found;
}

AuthorityRef Certifier::issuer_of(const CertificateRecord& record) const {
  const auto found = std::ranges::find_if(
      authorities_, [&](const auto& authority) { return authority->directory == record.authority; });
  return found == authorities_.end() ? nullptr : *found;
}

std::vector<Certifier::State> Certifier::states() const {
  std::vector<State> states;
  for (const auto& [name, entry] : entries_) {
    if (!entry->is_wanted) continue;
    State state{entry->name,           entry->tenant,     entry->authority,
                entry->record.facts,   entry->is_at_work, entry->record.renew_at,
                entry->next_attempt(), entry->failures(), entry->record.last_error};
    if (const AuthorityRef authority = authority_named(entry->authority);
        authority != nullptr && !entry->record.facts) {
      const auto account = accounts_.find(account_item(authority->directory));
      if (state.last_error.empty() && account != accounts_.end()) state.last_error = account->second.last_error;
    }
    states.push_back(std::move(state));
  }
  return states;
}

std::vector<Certifier::EntryRef> Certifier::entries_of(const Identifier& host) const {
  std::vector<EntryRef> entries;
  for (const bool is_second : {false, true})
    if (const auto found = entries_.find({host, is_second}); found != entries_.end()) entries.push_back(found->second);
  return entries;
}

const CertificateRecord* Certifier::record(const CertificateName& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end() || found->second->record.chain.empty()) return nullptr;
  if (name.is_second && !found->second->is_wanted) return nullptr;  // nobody renews it any more
  return &found->second->record;
}

// --- what is stored

Flow<Done> Certifier::changed(StoredItem item) {
  if (item.name == challenges_item) {
    challenges_version_ = item.version;
    if (item.value.empty() && !presented_.empty()) ++challenges_wanted_;  // removed from outside
    auto presentations = read_challenges(item.value);
    if (!presentations && !item.value.empty()) environment_.report("stored challenges cannot be read", item.name, true);
    if (on_challenges) co_await on_challenges(presentations.value_or(std::vector<Presentation>()));
    co_return Done{};
  }
  if (!item.name.starts_with(certificate_prefix)) {
    Account& account = accounts_[item.name];
    account.version = item.version;
    if (item.value.empty()) {
      needs_restoring_ = account.is_unstored = true;
      co_return Done{};
    }
    auto record = read_account(item.value);
    std::optional<PrivateKey> key;
    if (record)
      if (auto read = PrivateKey::from_pem(record->key.reveal())) key = *std::move(read);
    if (!key || !key->is_p256()) {
      environment_.report("a stored account cannot be read; another one is registered", item.name, true);
      co_return Done{};
    }
    account.record = *std::move(record);
    if (!account.is_at_work) account.key = std::move(key);
    co_return Done{};
  }
  const CertificateName name = CertificateName::of_item(item.name);
  EntryRef& entry = entries_[name];
  if (!entry) {
    entry = std::make_shared<Entry>();
    entry->name = name;
  }
  if (item.value.empty()) {  // nobody removes it but who has emptied the storage
    entry->version = item.version;
    needs_restoring_ = entry->is_unstored = true;
    co_return Done{};
  }
  if (item.version < entry->version) co_return Done{};  // this gateway has changed it since
  auto record = read_certificate(item.value);
  if (!record) {
    environment_.report("a stored certificate cannot be read; another one is obtained", name.host.value, true);
    entry->version = item.version;
    needs_restoring_ = entry->is_unstored = true;
    co_return Done{};
  }
  if ((record->renew_now && !entry->record.renew_now) || (record->revoke && !entry->record.revoke)) do_not_wait(*entry);
  entry->record = *std::move(record);
  entry->version = item.version;
  entry->is_unstored = false;
  if (on_certificate && entry->record.facts && entry->served != entry->record.facts->serial) {
    entry->served = entry->record.facts->serial;
    on_certificate(entry->name.host);
  }
  co_return Done{};
}

void Certifier::damaged(const std::string& name, std::uint64_t version) {
  if (name == challenges_item) {
    challenges_version_ = version;
    ++challenges_wanted_;
  } else if (name.starts_with(certificate_prefix)) {
    const CertificateName of = CertificateName::of_item(name);
    EntryRef& entry = entries_[of];
    if (!entry) {
      entry = std::make_shared<Entry>();
      entry->name = of;
    }
    entry->version = version;
    entry->is_unstored = true;
  } else {
    accounts_[name].version = version;
    accounts_[name].is_unstored = true;
  }
  needs_restoring_ = true;
}

void Certifier::forgotten() {
  for (auto& [name, entry] : entries_) {
    entry->version = 0;
    entry->is_unstored = true;
  }
  for (auto& [name, account] : accounts_) {
    account.version = 0;
    account.is_unstored = true;
  }
  challenges_version_ = 0;
  ++challenges_wanted_;
  needs_restoring_ = true;
}

// What this gateway knows and the storage does not.
Flow<Done> Certifier::restore() {
  needs_restoring_ = false;
  const std::uint64_t fence = fleet_.fence();
  const auto note = [&](const StorageResult<std::uint64_t>& stored, std::uint64_t& version, bool& is_unstored) {
    if (stored) version = *stored;
    // After a conflict the storage's own comes with the next sync.
    is_unstored = !stored && stored.error().kind != StorageError::Kind::conflict;
    if (!is_unstored) return;
    needs_restoring_ = true;
    restore_at_ = environment_.now() + restoring_pause;
  };
  std::vector<std::string> names;
  for (auto& [name, account] : accounts_)
    if (account.is_unstored) names.push_back(name);
  for (const std::string& name : names) {
    Account& account = accounts_[name];
    if (account.record.key.empty()) account.is_unstored = false;
    if (!account.is_unstored) continue;
    if (account.is_at_work) {
      needs_restoring_ = true;
      continue;
    }
    const auto stored = co_await fleet_.put(name, write_account(account.record), account.version, fence);
    note(stored, account.version, account.is_unstored);
  }
  std::vector<EntryRef> entries;
  for (auto& [name, entry] : entries_)
    if (entry->is_unstored) entries.push_back(entry);
  bool is_away = false;
  for (const EntryRef& entry : entries) {
    if (entry->record.chain.empty()) entry->is_unstored = false;
    if (!entry->is_unstored) continue;
    if (entry->is_at_work || is_away) {
      needs_restoring_ = true;
      continue;
    }
    const auto stored =
        co_await fleet_.put(entry->name.item(), write_certificate(entry->record), entry->version, fence);
    note(stored, entry->version, entry->is_unstored);
    is_away = !stored && stored.error().kind == StorageError::Kind::away;
  }
  co_return Done{};
}

// A record that was to be stored and could not be: it holds here, and is stored when that is possible.
void Certifier::keep_unstored(Entry& entry, const std::function<void(CertificateRecord&)>& change) {
  change(entry.record);
  needs_restoring_ = entry.is_unstored = true;
  restore_at_ = environment_.now() + restoring_pause;
  if (!on_certificate || !entry.record.facts) return;
  entry.served = entry.record.facts->serial;
  on_certificate(entry.name.host);
}

Flow<std::expected<Done, std::string>> Certifier::store(Entry& entry, std::function<void(CertificateRecord&)> change,
                                                        std::uint64_t fence) {
  for (unsigned attempt = 0; attempt < most_conflicts; ++attempt) {
    CertificateRecord next = entry.record;
    change(next);
    auto stored = co_await fleet_.put(entry.name.item(), write_certificate(next), entry.version, fence);
    if (stored) {
      if (*stored > entry.version) {
        // What is new is served when it comes back with the next sync, here as everywhere.
        entry.record = std::move(next);
        entry.version = *stored;
        entry.is_unstored = false;
      }
      co_return Done{};
    }
    if (stored.error().kind != StorageError::Kind::conflict)
      co_return std::unexpected(std::move(stored.error().reason));
    co_await fleet_.next_sync();
  }
  co_return std::unexpected("others change it at the same time; try again");
}

Flow<StorageResult<Done>> Certifier::store_account(Account& account, const Authority& authority, AccountRecord record,
                                                   std::uint64_t fence) {
  auto stored = co_await fleet_.put(account_item(authority.directory), write_account(record), account.version, fence);
  if (!stored) co_return std::unexpected(std::move(stored.error()));
  account.version = *stored;
  account.record = std::move(record);
  account.is_unstored = false;
  co_return Done{};
}

Flow<Done> Certifier::store_challenges() {
  const std::uint64_t generation = challenges_wanted_;
  std::vector<Presentation> all;
  for (const auto& [name, presentations] : presented_)
    all.insert(all.end(), presentations.begin(), presentations.end());
  auto stored =
      co_await fleet_.put(std::string(challenges_item), write_challenges(all), challenges_version_, fleet_.fence());
  if (stored) {
    challenges_version_ = *stored;
    challenges_stored_ = generation;
  }
  co_return Done{};
}

// --- what people ask for

Flow<std::expected<Done, std::string>> Certifier::request_renewal(Identifier host) {
  bool is_wanted = false;
  for (const EntryRef& entry : entries_of(host)) {
    if (!entry->is_wanted) continue;
    is_wanted = true;
    do_not_wait(*entry);
    // What others have failed to have validated is tried again, too: they wait for each other.
    for (const EntryRef& sibling : siblings_of(*entry)) {
      if (sibling->record.next_attempt == Time{} || sibling->version == 0) continue;
      auto stored = co_await store(
          *sibling,
          [](CertificateRecord& record) {
            record.failures = 0;
            record.next_attempt = Time{};
          },
          no_fence);
      if (!stored) co_return stored;
    }
    auto stored = co_await store(
        *entry,
        [](CertificateRecord& record) {
          record.renew_now = true;
          record.failures = 0;
          record.next_attempt = Time{};
        },
        no_fence);
    if (!stored) co_return stored;
  }
  if (!is_wanted) co_return std::unexpected("no tenant's host has this name with tls: {acme: ...}");
  co_return Done{};
}

Flow<std::expected<Done, std::string>> Certifier::request_revocation(Identifier host, int reason) {
  bool is_there = false;
  for (const EntryRef& entry : entries_of(host)) {
    if (entry->record.chain.empty()) continue;
    is_there = true;
    if (issuer_of(entry->record) == nullptr)
      co_return std::unexpected("the CA that issued it is not configured; revoke it there");
    do_not_wait(*entry);
    auto stored = co_await store(
        *entry,
        [reason](CertificateRecord& record) {
          record.revoke = reason;
          record.next_attempt = Time{};
        },
        no_fence);
    if (!stored) co_return stored;
  }
  if (!is_there) co_return std::unexpected("there is no certificate of this name");
  co_return Done{};
}

Flow<std::expected<Done, std::string>> Certifier::import(Identifier host, std::string chain, Secret key) {
  std::vector<EntryRef> entries = entries_of(host);
  std::erase_if(entries, [](const EntryRef& entry) { return !entry->is_wanted; });
  if (entries.empty()) co_return std::unexpected("no tenant's host has this name with tls: {acme: ...}");
  const auto facts = read_chain(chain);
  if (!facts) co_return std::unexpected(facts.error());
  const auto private_key = PrivateKey::from_pem(key.reveal());
  if (!private_key) co_return std::unexpected(private_key.error());
  if (!is_for_key(chain, *private_key)) co_return std::unexpected("the key is not the certificate's");
  if (!std::ranges::binary_search(facts->names, host))
    co_return std::unexpected("the certificate is not for " + host.value);
  const Time now = environment_.now();
  if (facts->not_after <= now) co_return std::unexpected("the certificate has expired");
  if (facts->not_before > now) co_return std::unexpected("the certificate is not valid yet: clients would refuse it");
  const EntryRef entry = entries.size() == 2 && private_key->is_rsa() ? entries[1] : entries[0];
  const Time renew_at = renewal_by_lifetime(facts->not_before, facts->not_after, environment_.chance());
  const std::string pem(private_key->to_pem().reveal());
  co_return co_await store(
      *entry,
      [&](CertificateRecord& record) {
        record = CertificateRecord{};
        record.chain = chain;
        record.key = Secret(pem);
        record.facts = *facts;
        record.renew_at = renew_at;
      },
      no_fence);
}

}  // namespace gatehouse::acme
