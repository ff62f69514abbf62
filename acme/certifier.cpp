// Certificates for a fleet; see certifier.hpp.
#include "acme/certifier.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "acme/renewal.hpp"

namespace gatehouse::acme {
namespace {

constexpr unsigned failures_for_fallback = 3;
constexpr unsigned most_conflicts = 5;
constexpr Seconds renewal_question_failed = std::chrono::hours(1);
constexpr Seconds no_renewal_info = std::chrono::hours(24);
constexpr std::uint64_t no_fence = 0;

std::string name_of(KeyType type) {
  switch (type) {
    case KeyType::ecdsa_p256: return "ecdsa_p256";
    case KeyType::rsa_2048: return "rsa_2048";
    case KeyType::rsa_3072: return "rsa_3072";
    case KeyType::rsa_4096: return "rsa_4096";
  }
  return {};
}

// FNV-1a: only to see that a window has changed.
std::uint64_t hash_of(const RenewalInfo& info) {
  std::uint64_t hash = 14695981039346656037U;
  for (const Time time : {info.start, info.end})
    for (int shift = 0; shift < 64; shift += 8) {
      hash ^= static_cast<std::uint64_t>(time.time_since_epoch().count()) >> shift & 0xff;
      hash *= 1099511628211U;
    }
  return hash == 0 ? 1 : hash;
}

// Nothing of ours: the CA could not be reached, has no time, or refuses the account.
bool is_of_the_authority(const Problem& problem) noexcept {
  return problem.type == ProblemType::no_answer || problem.type == ProblemType::server_internal ||
         problem.type == ProblemType::external_account_required ||
         problem.type == ProblemType::account_does_not_exist || problem.type == ProblemType::user_action_required ||
         problem.status >= 500;
}

}  // namespace

// --- what is known

void Certifier::configure(std::vector<AuthorityRef> authorities, std::vector<Wanted> wanted) {
  authorities_ = std::move(authorities);
  for (auto& [name, entry] : entries_) entry->is_wanted = false;
  for (Wanted& item : wanted) {
    EntryRef& entry = entries_[item.name.value];
    if (!entry) entry = std::make_shared<Entry>();
    entry->name = std::move(item.name);
    entry->tenant = std::move(item.tenant);
    entry->authority = std::move(item.authority);
    entry->is_wanted = true;
  }
  std::erase_if(entries_, [](const auto& item) {
    return !item.second->is_wanted && item.second->version == 0 && !item.second->is_at_work;
  });
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
    State state{entry->name,
                entry->tenant,
                entry->authority,
                entry->record.facts,
                entry->is_at_work,
                entry->record.renew_at,
                entry->record.next_attempt,
                entry->record.failures,
                entry->record.last_error};
    if (const AuthorityRef authority = authority_named(entry->authority);
        authority != nullptr && !entry->record.facts) {
      const auto account = accounts_.find(account_item(authority->directory));
      if (state.last_error.empty() && account != accounts_.end()) state.last_error = account->second.last_error;
    }
    states.push_back(std::move(state));
  }
  return states;
}

const CertificateRecord* Certifier::record(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() || found->second->record.chain.empty() ? nullptr : &found->second->record;
}

// --- what is stored

Flow<Done> Certifier::changed(StoredItem item) {
  if (item.name == challenges_item) {
    challenges_version_ = item.version;
    auto presentations = read_challenges(item.value);
    if (!presentations && !item.value.empty()) environment_.report("stored challenges cannot be read", item.name, true);
    if (on_challenges) co_await on_challenges(presentations.value_or(std::vector<Presentation>()));
    co_return Done{};
  }
  if (!item.name.starts_with(certificate_prefix)) {
    Account& account = accounts_[item.name];
    account.version = item.version;
    if (item.value.empty()) co_return Done{};
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
  const std::string name = item.name.substr(certificate_prefix.size());
  EntryRef& entry = entries_[name];
  if (!entry) {
    entry = std::make_shared<Entry>();
    entry->name = {Identifier::Type::dns, name};
  }
  if (item.version < entry->version) co_return Done{};  // this gateway has changed it since
  if (item.value.empty()) {  // nobody removes it but who has emptied the storage
    entry->version = item.version;
    needs_restoring_ = needs_restoring_ || !entry->record.chain.empty();
    co_return Done{};
  }
  auto record = read_certificate(item.value);
  if (!record) {
    environment_.report("a stored certificate cannot be read; another one is obtained", name, true);
    entry->version = item.version;
    needs_restoring_ = needs_restoring_ || !entry->record.chain.empty();
    co_return Done{};
  }
  if (record->renew_now && !entry->record.renew_now) do_not_wait_for_authority(*entry);
  entry->record = *std::move(record);
  entry->version = item.version;
  if (on_certificate && entry->record.facts && entry->served != entry->record.facts->serial) {
    entry->served = entry->record.facts->serial;
    on_certificate(entry->name, entry->record.chain, entry->record.key);
  }
  co_return Done{};
}

void Certifier::damaged(const std::string& name, std::uint64_t version) {
  if (name == challenges_item) {
    challenges_version_ = version;
    ++challenges_wanted_;
  } else if (name.starts_with(certificate_prefix)) {
    EntryRef& entry = entries_[name.substr(certificate_prefix.size())];
    if (!entry) {
      entry = std::make_shared<Entry>();
      entry->name = {Identifier::Type::dns, name.substr(certificate_prefix.size())};
    }
    entry->version = version;
  } else {
    accounts_[name].version = version;
  }
  needs_restoring_ = true;
}

void Certifier::forgotten() {
  for (auto& [name, entry] : entries_) entry->version = 0;
  for (auto& [name, account] : accounts_) account.version = 0;
  challenges_version_ = 0;
  ++challenges_wanted_;
  needs_restoring_ = true;
}

// What this gateway knows and the storage does not.
Flow<Done> Certifier::restore() {
  needs_restoring_ = false;
  const std::uint64_t fence = fleet_.fence();
  std::vector<std::string> names;
  for (auto& [name, account] : accounts_) names.push_back(name);
  for (const std::string& name : names) {
    Account& account = accounts_[name];
    if (account.record.key.empty() || account.is_at_work) continue;
    auto stored = co_await fleet_.put(name, write_account(account.record), account.version, fence);
    if (stored)
      account.version = *stored;
    else if (stored.error().kind != StorageError::Kind::conflict)
      needs_restoring_ = true;
  }
  std::vector<EntryRef> entries;
  for (auto& [name, entry] : entries_) entries.push_back(entry);
  for (const EntryRef& entry : entries) {
    if (entry->record.chain.empty() || entry->is_at_work) continue;
    auto stored =
        co_await fleet_.put(certificate_item(entry->name), write_certificate(entry->record), entry->version, fence);
    if (stored)
      entry->version = *stored;
    else if (stored.error().kind != StorageError::Kind::conflict)
      needs_restoring_ = true;
    if (!stored && stored.error().kind == StorageError::Kind::away) break;
  }
  co_return Done{};
}

Flow<std::expected<Done, std::string>> Certifier::store(Entry& entry, std::function<void(CertificateRecord&)> change,
                                                        std::uint64_t fence) {
  for (unsigned attempt = 0; attempt < most_conflicts; ++attempt) {
    CertificateRecord next = entry.record;
    change(next);
    auto stored = co_await fleet_.put(certificate_item(entry.name), write_certificate(next), entry.version, fence);
    if (stored) {
      if (*stored > entry.version) {
        // What is new is served when it comes back with the next sync, here as everywhere.
        entry.record = std::move(next);
        entry.version = *stored;
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

// --- what is to be done

Certifier::Need Certifier::need_of(const Entry& entry, Time now) const {
  if (!entry.is_wanted || entry.is_at_work) return Need::nothing;
  const CertificateRecord& record = entry.record;
  if (now >= record.next_attempt) {
    if (record.revoke && !record.chain.empty()) return Need::revocation;
    const AuthorityRef authority = authority_named(entry.authority);
    if (authority == nullptr) return Need::nothing;
    if (!entry.record.facts || record.renew_now || now >= record.renew_at) return Need::certificate;
    // Asked for otherwise than it was: another CA, kind of key or profile. One from the fallback is good until renewed.
    const bool is_imported = record.authority.empty();
    const bool is_from_fallback = !authority->fallback.empty() && record.authority != authority->directory;
    if (!is_imported && !is_from_fallback &&
        (record.authority != authority->directory || record.key_type != name_of(authority->key_type) ||
         record.profile != authority->profile))
      return Need::certificate;
  }
  if (entry.record.facts && now >= record.ask_at && issuer_of(record) != nullptr) return Need::renewal_info;
  return Need::nothing;
}

// The CA to be asked: the host's, or the one behind it while that is away. Null: nobody yet.
AuthorityRef Certifier::authority_for(const Entry& entry, Time now) {
  const AuthorityRef first = authority_named(entry.authority);
  if (first == nullptr) return nullptr;
  const auto is_usable = [&](const Authority& authority) {
    Account& account = account_of(authority);
    if (account.is_at_work || account.is_probing) return false;
    return now >= account.next_attempt;
  };
  const Account& account = account_of(*first);
  if (account.failures >= failures_for_fallback && now < account.next_attempt && !first->fallback.empty()) {
    const AuthorityRef second = authority_named(first->fallback);
    return second && is_usable(*second) ? second : nullptr;
  }
  return is_usable(*first) ? first : nullptr;
}

bool Certifier::may_start(const Entry& entry) {
  const bool has_failed = entry.record.failures != 0;
  if (at_work_ >= most_at_once || (has_failed && failed_at_work_ >= most_at_once / 2)) return false;
  const auto tenant = tenants_at_work_.find(entry.tenant);
  return tenant == tenants_at_work_.end() || tenant->second < most_of_a_tenant;
}

/// Counts what is under way, also when it ends early.
struct Certifier::Work {
  Work(Certifier& certifier, EntryRef of) : self(certifier), entry(std::move(of)) {
    entry->is_at_work = true;
    has_failed = entry->record.failures != 0;
    tenant = entry->tenant;
    ++self.at_work_;
    ++self.tenants_at_work_[tenant];
    if (has_failed) ++self.failed_at_work_;
  }
  ~Work() {
    entry->is_at_work = false;
    --self.at_work_;
    if (has_failed) --self.failed_at_work_;
    if (const auto found = self.tenants_at_work_.find(tenant); --found->second == 0) self.tenants_at_work_.erase(found);
  }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  Certifier& self;
  EntryRef entry;
  std::string tenant;
  bool has_failed = false;
};

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
    std::ranges::sort(items, {}, [](const Due& item) {
      return std::tuple(item.entry->record.failures, item.since, std::string_view(item.entry->name.value));
    });
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
        if (item.entry->is_at_work || !may_start(*item.entry)) continue;
        const AuthorityRef authority =
            item.need == Need::certificate ? authority_for(*item.entry, now) : issuer_of(item.entry->record);
        if (authority == nullptr) continue;
        Account& account = account_of(*authority);
        if (now < account.next_attempt || account.is_at_work) continue;
        if (item.need == Need::renewal_info) {
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
  if (needs_restoring_) co_await restore();
  if (challenges_wanted_ != challenges_stored_) co_await store_challenges();
  if (fleet_.is_leading()) start_work();
  co_return Done{};
}

// --- conversations

// False: the lease was lost, or the gateway stops; whoever has it goes on.
template <class T>
Flow<bool> Certifier::drive(Flow<T>& flow, Conversation& conversation, Entry* entry, const Authority& authority,
                            std::uint64_t fence) {
  const auto may_go_on = [&] { return fleet_.is_leading() && fleet_.fence() == fence; };
  conversation.set_now(environment_.now());
  flow.start();
  while (!flow.is_done()) {
    if (!may_go_on()) co_return false;
    switch (conversation.want()) {
      case Conversation::Want::nothing: co_return false;  // it waits for nobody: cannot be
      case Conversation::Want::send: {
        auto response = co_await environment_.send(authority, conversation.request());
        if (!may_go_on()) co_return false;
        if (response)
          conversation.deliver(*std::move(response), environment_.now());
        else
          conversation.lost(std::move(response.error()), environment_.now());
        break;
      }
      case Conversation::Want::wait: {
        while (may_go_on() && environment_.now() < conversation.until())
          co_await environment_.sleep(
              std::min<std::chrono::milliseconds>(conversation.until() - environment_.now(), std::chrono::seconds(5)));
        if (!may_go_on()) co_return false;
        conversation.proceed(environment_.now());
        break;
      }
      case Conversation::Want::present: {
        auto presented = co_await present(*entry, authority, conversation.presentations(), fence);
        if (!may_go_on()) co_return false;
        if (presented)
          conversation.proceed(environment_.now());
        else
          conversation.lost(std::move(presented.error()), environment_.now());
        break;
      }
      case Conversation::Want::keep: {
        const Progress progress = conversation.progress();
        auto stored = co_await store(
            *entry,
            [&](CertificateRecord& record) {
              record.progress.emplace(progress);
              record.progress_authority = authority.directory;
            },
            fence);
        if (!may_go_on()) co_return false;
        if (stored)
          conversation.proceed(environment_.now());
        else
          conversation.lost(std::move(stored.error()), environment_.now());
        break;
      }
    }
  }
  co_return true;
}

Flow<std::expected<Done, std::string>> Certifier::present(const Entry& entry, const Authority& authority,
                                                          std::vector<Presentation> presentations,
                                                          std::uint64_t fence) {
  std::vector<TxtChange> records;
  for (const Presentation& presentation : presentations)
    if (presentation.type == ChallengeType::dns_01)
      records.push_back({"_acme-challenge." + presentation.identifier.value, presentation.dns_value(), true});
  if (!records.empty()) {
    if (!authority.dns) co_return std::unexpected("dns-01 needs acme." + authority.name + ".dns");
    auto updated = co_await environment_.update_dns(*authority.dns, std::move(records));
    if (!updated) co_return std::unexpected(std::move(updated.error()));
  }
  const bool is_all_dns =
      std::ranges::all_of(presentations, [](const Presentation& item) { return item.type == ChallengeType::dns_01; });
  presented_[entry.name.value] = std::move(presentations);
  if (!is_all_dns) {
    const std::uint64_t generation = ++challenges_wanted_;
    const Time deadline = environment_.now() + presentation_time_;
    while (challenges_stored_ < generation || !fleet_.is_seen_by_all(challenges_version_)) {
      if (!fleet_.is_leading() || fleet_.fence() != fence) co_return std::unexpected("the lease was lost");
      if (environment_.now() >= deadline)
        co_return std::unexpected(challenges_stored_ < generation ? "it could not be stored: " + fleet_.trouble()
                                                                  : "a gateway that lives has not taken it up in time");
      co_await fleet_.next_sync();
    }
  }
  if (authority.dns && !presented_[entry.name.value].empty() &&
      std::ranges::any_of(presented_[entry.name.value],
                          [](const Presentation& item) { return item.type == ChallengeType::dns_01; }))
    co_await environment_.sleep(authority.dns->propagation);
  co_return Done{};
}

Flow<Done> Certifier::withdraw(const Entry& entry, const Authority& authority) {
  const auto found = presented_.find(entry.name.value);
  if (found == presented_.end()) co_return Done{};
  std::vector<TxtChange> records;
  for (const Presentation& presentation : found->second)
    if (presentation.type == ChallengeType::dns_01)
      records.push_back({"_acme-challenge." + presentation.identifier.value, presentation.dns_value(), false});
  presented_.erase(found);
  ++challenges_wanted_;
  if (!records.empty() && authority.dns) {
    auto updated = co_await environment_.update_dns(*authority.dns, std::move(records));
    if (!updated) environment_.report("the DNS record of a challenge could not be removed", updated.error(), true);
  }
  co_return Done{};
}

// Somebody who asks for a certificate now may know that the CA is back.
void Certifier::do_not_wait_for_authority(const Entry& entry) {
  if (const AuthorityRef authority = authority_named(entry.authority)) account_of(*authority).next_attempt = Time{};
}

void Certifier::note_authority(const Authority& authority, const Problem* problem) {
  Account& account = account_of(authority);
  account.is_probing = false;
  if (problem == nullptr) {
    account.failures = 0;
    account.next_attempt = Time{};
    account.last_error.clear();
    return;
  }
  ++account.failures;
  account.last_error = problem->to_string();
  account.next_attempt = next_attempt(*problem, account.failures, environment_.now(), environment_.chance());
  if (account.failures == 1)
    environment_.report("the CA cannot be used: what is known is served, and it is tried again", account.last_error,
                        true);
}

Flow<Done> Certifier::register_account(AuthorityRef issuer, std::uint64_t fence) {
  const Authority& authority = *issuer;
  Account& account = account_of(authority);
  if (account.is_at_work) co_return Done{};
  account.is_at_work = true;
  ++at_work_;
  const auto end = [&] {
    account.is_at_work = false;
    --at_work_;
  };
  if (!account.key) {
    // Stored before the CA knows it: whoever takes over finds the same account.
    PrivateKey key = PrivateKey::generate(KeyType::ecdsa_p256);
    AccountRecord record;
    record.key = key.to_pem();
    if (!co_await store_account(account, authority, std::move(record), fence)) {
      end();
      co_return Done{};
    }
    account.key = std::move(key);
  }
  Conversation conversation;
  Client client(conversation, authority.directory);
  client.use_account(*account.key, {});
  auto flow = client.register_account(authority.contacts, authority.external ? &*authority.external : nullptr);
  if (!co_await drive(flow, conversation, nullptr, authority, fence)) {
    end();
    co_return Done{};
  }
  auto url = flow.result();
  if (url) {
    AccountRecord record = account.record;
    record.url = *std::move(url);
    if (!co_await store_account(account, authority, std::move(record), fence)) {
      end();
      co_return Done{};
    }
    note_authority(authority, nullptr);
    environment_.report("registered with the CA", authority.directory, false);
  } else {
    note_authority(authority, &url.error());
  }
  end();
  co_return Done{};
}

// After a change of keys whose answer was lost the CA knows one of two keys. An order that it takes shows that it is the
// present one; one that it does not, that it may be the other.
Flow<Done> Certifier::settle_keys(const Authority& authority, bool is_doubted, std::uint64_t fence) {
  Account& account = account_of(authority);
  if (account.record.next_key.empty() || account.is_at_work) co_return Done{};
  AccountRecord record = account.record;
  std::optional<PrivateKey> other;
  if (is_doubted) {
    if (auto read = PrivateKey::from_pem(record.next_key.reveal())) other = *std::move(read);
    std::swap(record.key, record.next_key);
  } else {
    record.next_key = Secret();
  }
  const auto stored = co_await store_account(account, authority, std::move(record), fence);
  if (stored && other) account.key = std::move(other);
  co_return Done{};
}

Flow<Done> Certifier::obtain(EntryRef entry, AuthorityRef issuer, std::uint64_t fence) {
  const Authority& authority = *issuer;
  const Work work(*this, entry);
  Conversation conversation;
  Client client(conversation, authority.directory);
  // The account may change while this goes on; this goes on with what it began with.
  const auto key = PrivateKey::from_pem(account_of(authority).key->to_pem().reveal());
  client.use_account(*key, account_of(authority).record.url);
  OrderRequest request;
  request.identifiers = {entry->name};
  request.challenge = authority.challenge;
  request.profile = authority.profile;
  request.preferred_chain = authority.preferred_chain;
  request.key_type = authority.key_type;
  if (entry->record.facts && entry->record.authority == authority.directory)
    request.replaces = entry->record.facts->renewal_id;
  std::optional<Progress> resumed;
  if (entry->record.progress && entry->record.progress_authority == authority.directory)
    resumed.emplace(*entry->record.progress);

  auto flow = client.obtain(std::move(request), std::move(resumed));
  const bool has_ended = co_await drive(flow, conversation, &*entry, authority, fence);
  co_await withdraw(*entry, authority);
  if (!has_ended) {
    account_of(authority).is_probing = false;
    co_return Done{};
  }
  auto issued = flow.result();
  const Time now = environment_.now();
  if (issued) {
    note_authority(authority, nullptr);
    co_await settle_keys(authority, false, fence);
    auto facts = read_chain(issued->chain);  // obtain() has read it
    const Time renew_at = renewal_by_lifetime(facts->not_before, facts->not_after, environment_.chance());
    const auto stored = co_await store(
        *entry,
        [&](CertificateRecord& record) {
          record = CertificateRecord{};
          record.chain = issued->chain;
          record.key = Secret(std::string(issued->key.reveal()));
          record.facts = *facts;
          record.authority = authority.directory;
          record.key_type = name_of(authority.key_type);
          record.profile = authority.profile;
          record.renew_at = renew_at;
          record.ask_at = now;
        },
        fence);
    if (on_order) on_order(static_cast<bool>(stored));
    environment_.report(stored ? "certificate obtained" : "a certificate was obtained but could not be stored",
                        entry->name.value, !stored);
    co_return Done{};
  }

  const Problem& problem = issued.error();
  const bool is_authority = is_of_the_authority(problem);
  note_authority(authority, is_authority ? &problem : nullptr);
  if (problem.type == ProblemType::malformed || problem.type == ProblemType::unauthorized ||
      problem.type == ProblemType::account_does_not_exist)
    co_await settle_keys(authority, true, fence);
  if (problem.type == ProblemType::account_does_not_exist) {
    AccountRecord record = account_of(authority).record;
    record.url.clear();
    static_cast<void>(co_await store_account(account_of(authority), authority, std::move(record), fence));
  }
  if (on_order) on_order(false);
  const std::string words = problem.to_string();
  environment_.report("no certificate for " + entry->name.value, words, true);
  static_cast<void>(co_await store(
      *entry,
      [&](CertificateRecord& record) {
        if (!is_authority) ++record.failures;
        record.last_error = words;
        record.last_error_at = now;
        record.next_attempt =
            is_authority ? Time{} : next_attempt(problem, record.failures, now, environment_.chance());
        if (problem.is_of_the_names()) record.progress.reset();
      },
      fence));
  co_return Done{};
}

Flow<Done> Certifier::ask_for_renewal(EntryRef entry, AuthorityRef issuer, std::uint64_t fence) {
  const Authority& authority = *issuer;
  const Work work(*this, entry);
  Conversation conversation;
  Client client(conversation, authority.directory);
  auto flow = client.renewal_info(entry->record.facts->renewal_id);
  if (!co_await drive(flow, conversation, &*entry, authority, fence)) co_return Done{};
  auto renewal = flow.result();
  const Time now = environment_.now();
  if (!renewal && is_of_the_authority(renewal.error())) note_authority(authority, &renewal.error());
  const auto change = [&](CertificateRecord& record) {
    if (!renewal) {
      record.ask_at = now + renewal_question_failed;
      return;
    }
    if (!*renewal) {
      record.ask_at = now + no_renewal_info;
      return;
    }
    record.ask_at = next_renewal_question((*renewal)->ask_again, now);
    const std::uint64_t window = hash_of((*renewal)->info);
    if (window == record.window) return;  // the time that was drawn from it holds
    record.window = window;
    record.renew_at = renewal_by_window((*renewal)->info, entry->record.facts->not_before,
                                        entry->record.facts->not_after, environment_.chance());
  };
  static_cast<void>(co_await store(*entry, change, fence));
  co_return Done{};
}

Flow<Done> Certifier::revoke(EntryRef entry, AuthorityRef issuer, std::uint64_t fence) {
  const Authority& authority = *issuer;
  const Work work(*this, entry);
  Conversation conversation;
  Client client(conversation, authority.directory);
  const auto key = PrivateKey::from_pem(account_of(authority).key->to_pem().reveal());
  client.use_account(*key, account_of(authority).record.url);
  auto flow = client.revoke(leaf_der(entry->record.chain), entry->record.revoke.value_or(0), nullptr);
  if (!co_await drive(flow, conversation, &*entry, authority, fence)) co_return Done{};
  const auto revoked = flow.result();
  const Time now = environment_.now();
  environment_.report(revoked ? "certificate revoked" : "the certificate could not be revoked",
                      entry->name.value + (revoked ? "" : ": " + revoked.error().to_string()), !revoked);
  static_cast<void>(co_await store(
      *entry,
      [&](CertificateRecord& record) {
        if (revoked) {
          record.revoke.reset();
          record.renew_now = true;
        } else {
          ++record.failures;
          record.last_error = "the revocation: " + revoked.error().to_string();
          record.last_error_at = now;
          record.next_attempt = next_attempt(revoked.error(), record.failures, now, environment_.chance());
        }
      },
      fence));
  co_return Done{};
}

// --- what people ask for

Flow<std::expected<Done, std::string>> Certifier::request_renewal(std::string name) {
  const auto found = entries_.find(name);
  if (found == entries_.end() || !found->second->is_wanted)
    co_return std::unexpected("no tenant's host has this name with tls: {acme: ...}");
  const EntryRef entry = found->second;
  do_not_wait_for_authority(*entry);
  co_return co_await store(
      *entry,
      [](CertificateRecord& record) {
        record.renew_now = true;
        record.failures = 0;
        record.next_attempt = Time{};
      },
      no_fence);
}

Flow<std::expected<Done, std::string>> Certifier::request_revocation(std::string name, int reason) {
  const auto found = entries_.find(name);
  if (found == entries_.end() || found->second->record.chain.empty())
    co_return std::unexpected("there is no certificate of this name");
  const EntryRef entry = found->second;
  if (issuer_of(entry->record) == nullptr)
    co_return std::unexpected("the CA that issued it is not configured; revoke it there");
  co_return co_await store(
      *entry,
      [reason](CertificateRecord& record) {
        record.revoke = reason;
        record.next_attempt = Time{};
      },
      no_fence);
}

Flow<std::expected<Done, std::string>> Certifier::import(std::string name, std::string chain, Secret key) {
  const auto found = entries_.find(name);
  if (found == entries_.end() || !found->second->is_wanted)
    co_return std::unexpected("no tenant's host has this name with tls: {acme: ...}");
  const EntryRef entry = found->second;
  const auto facts = read_chain(chain);
  if (!facts) co_return std::unexpected(facts.error());
  const auto private_key = PrivateKey::from_pem(key.reveal());
  if (!private_key) co_return std::unexpected(private_key.error());
  if (!is_for_key(chain, *private_key)) co_return std::unexpected("the key is not the certificate's");
  if (!std::ranges::binary_search(facts->names, entry->name))
    co_return std::unexpected("the certificate is not for " + name);
  const Time now = environment_.now();
  if (facts->not_after <= now) co_return std::unexpected("the certificate has expired");
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

Flow<std::expected<Done, std::string>> Certifier::roll_over(std::string name) {
  const AuthorityRef known = authority_named(name);
  if (!known) co_return std::unexpected("gateway.yaml has no acme." + name);
  const Authority& authority = *known;
  Account& account = account_of(authority);
  if (!fleet_.is_leading()) co_return std::unexpected("another gateway holds the lease; ask it");
  if (!account.key || account.record.url.empty()) co_return std::unexpected("there is no account yet");
  if (account.is_at_work) co_return std::unexpected("the account is being changed; try again");
  const std::uint64_t fence = fleet_.fence();
  account.is_at_work = true;
  ++at_work_;
  const auto end = [&](std::expected<Done, std::string> result) {
    account.is_at_work = false;
    --at_work_;
    return result;
  };
  PrivateKey next = PrivateKey::generate(KeyType::ecdsa_p256);
  AccountRecord record = account.record;
  record.next_key = next.to_pem();
  if (auto stored = co_await store_account(account, authority, std::move(record), fence); !stored)
    co_return end(std::unexpected(std::move(stored.error().reason)));
  Conversation conversation;
  Client client(conversation, authority.directory);
  client.use_account(*account.key, account.record.url);
  auto flow = client.change_key(next);
  if (!co_await drive(flow, conversation, nullptr, authority, fence))
    co_return end(std::unexpected("the lease was lost; look at the status"));
  const auto changed = flow.result();
  AccountRecord after = account.record;
  after.next_key = Secret();
  if (changed) after.key = next.to_pem();
  // After an answer that was lost both keys stay stored; see settle_keys().
  if (changed || (changed.error().type != ProblemType::no_answer && changed.error().status < 500)) {
    if (auto stored = co_await store_account(account, authority, std::move(after), fence); !stored)
      co_return end(std::unexpected(std::move(stored.error().reason)));
    if (changed) account.key = std::move(next);
  }
  if (!changed) co_return end(std::unexpected(changed.error().to_string()));
  co_return end(Done{});
}

}  // namespace gatehouse::acme
