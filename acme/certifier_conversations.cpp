// What a certifier says to its CAs; see certifier.hpp.
#include "acme/certifier.hpp"

#include <algorithm>
#include <utility>

#include "acme/renewal.hpp"

namespace gatehouse::acme {
namespace {

constexpr Seconds renewal_question_failed = std::chrono::hours(1);
constexpr Seconds no_renewal_info = std::chrono::hours(24);

// Of the storage: `what` was done at the CA and could not be written down.
Problem not_stored(const char* what, const std::string& reason) {
  Problem problem;
  problem.detail = printable(std::string(what) + " could not be stored: " + reason, 400);
  return problem;
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

// From so many hosts on whose orders the CA has failed, one after the other, it is the CA and not the hosts.
constexpr std::size_t hosts_for_blame = 3;

bool is_of_the_account(const Problem& problem) noexcept {
  return problem.type == ProblemType::external_account_required ||
         problem.type == ProblemType::account_does_not_exist || problem.type == ProblemType::user_action_required;
}

// Nothing of ours: the CA could not be reached, or has no time.
bool is_like_an_outage(const Problem& problem) noexcept {
  return problem.type == ProblemType::no_answer || problem.type == ProblemType::server_internal ||
         problem.status >= 500;
}

// The CA does not take orders of anybody. What it fails at later may be one host's alone.
bool is_of_the_authority(const Problem& problem) noexcept {
  return is_of_the_account(problem) || (problem.is_of_the_service && is_like_an_outage(problem));
}

// A limit on orders that tells when there may be one again. Of whom it is, only words say.
bool is_limit_of_orders(const Problem& problem) noexcept {
  return problem.is_of_the_service && problem.type == ProblemType::rate_limited && problem.retry_at;
}

// What a flow throws is a failure like any other, with a pause behind it.
Result<Issued> result_of(Flow<Result<Issued>>& flow) {
  try {
    return flow.result();
  } catch (const std::exception& failure) {
    Problem problem;
    problem.detail = printable(failure.what(), 400);
    return std::unexpected(std::move(problem));
  }
}

/// In the name of an account, which may change while this goes on: it goes on with the key that it began with.
struct AccountConversation {
  AccountConversation(const Authority& authority, const PrivateKey& present_key, const std::string& url)
      : key(*PrivateKey::from_pem(present_key.to_pem().reveal())), client(conversation, authority.directory) {
    client.use_account(key, url);
  }
  PrivateKey key;
  Conversation conversation;
  Client client;
};

}  // namespace

/// Counts what is under way, also when it ends early.
struct Certifier::Work {
  Work(Certifier& certifier, EntryRef of) : self(certifier), entry(std::move(of)) {
    entry->is_at_work = true;
    has_failed = entry->failures() != 0;
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
  presented_[entry.name] = std::move(presentations);
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
  if (authority.dns && !presented_[entry.name].empty() &&
      std::ranges::any_of(presented_[entry.name],
                          [](const Presentation& item) { return item.type == ChallengeType::dns_01; }))
    co_await environment_.sleep(authority.dns->propagation);
  co_return Done{};
}

Flow<Done> Certifier::withdraw(const Entry& entry, const Authority& authority) {
  const auto found = presented_.find(entry.name);
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

// Before it is stored. Failures count for all that have the same identifier validated.
void Certifier::hold_back(Entry& entry, const Problem& problem, Time now) {
  unsigned failures = entry.failures();
  for (const EntryRef& sibling : siblings_of(entry)) failures = std::max(failures, sibling->failures());
  entry.hold.failures = failures + 1;
  entry.hold.failed_at = now;
  entry.hold.next_attempt = next_attempt(problem, entry.hold.failures, now, environment_.chance());
}

// Somebody who asks for a certificate now may know that what was wrong is well again, also at the CA.
void Certifier::do_not_wait(Entry& entry) {
  entry.hold = {};
  for (const EntryRef& sibling : siblings_of(entry)) sibling->hold = {};
  if (const AuthorityRef authority = authority_named(entry.authority)) account_of(*authority).next_attempt = Time{};
}

// Whether a failed order is the CA's fault rather than the host's.
bool Certifier::is_authority_to_blame(const Authority& authority, const Entry& entry, const Problem& problem) {
  if (is_of_the_authority(problem)) return true;
  if (!is_like_an_outage(problem)) return false;
  // A rehearsal is not worth waiting for, whoever is to blame.
  if (const AuthorityRef rehearsal = rehearsal_for(entry); rehearsal && rehearsal->directory == authority.directory)
    return true;
  std::set<Identifier>& hosts = account_of(authority).failed_hosts;
  hosts.insert(entry.name.host);
  return hosts.size() >= hosts_for_blame;
}

// The account may place no order for a while: the others need not find out one by one.
void Certifier::note_limit(const Authority& authority, const Entry& entry, const Problem& problem) {
  if (!is_limit_of_orders(problem)) return;
  Account& account = account_of(authority);
  account.limited_hosts.insert(entry.name.host);
  if (!problem.detail.contains("account") && account.limited_hosts.size() < hosts_for_blame) return;
  if (environment_.now() >= account.limited_until)
    environment_.report("the CA takes no orders of the account for a while", problem.to_string(), true);
  account.limited_until = std::max(account.limited_until, *problem.retry_at);
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
    if (const auto stored = co_await store_account(account, authority, std::move(record), fence); !stored) {
      const Problem problem = not_stored("the account", stored.error().reason);
      note_authority(authority, &problem);
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
    if (const auto stored = co_await store_account(account, authority, std::move(record), fence); !stored) {
      const Problem problem = not_stored("the account", stored.error().reason);
      note_authority(authority, &problem);
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
  AccountConversation with(authority, *account_of(authority).key, account_of(authority).record.url);
  OrderRequest request;
  request.identifiers = {entry->name.host};
  request.challenge = authority.challenge;
  request.profile = authority.profile;
  request.preferred_chain = authority.preferred_chain;
  request.key_type = key_type_for(*entry, authority);
  if (entry->record.facts && entry->record.authority == authority.directory)
    request.replaces = entry->record.facts->renewal_id;
  std::optional<Progress> resumed;
  if (entry->record.progress && entry->record.progress_authority == authority.directory)
    resumed.emplace(*entry->record.progress);

  auto flow = with.client.obtain(std::move(request), std::move(resumed));
  const bool has_ended = co_await drive(flow, with.conversation, &*entry, authority, fence);
  co_await withdraw(*entry, authority);
  if (!has_ended) {
    account_of(authority).is_probing = false;
    co_return Done{};
  }
  auto issued = result_of(flow);
  const Time now = environment_.now();
  if (issued) {
    note_authority(authority, nullptr);
    account_of(authority).failed_hosts.clear();
    account_of(authority).limited_hosts.clear();
    co_await settle_keys(authority, false, fence);
    if (const AuthorityRef rehearsal = rehearsal_for(*entry);
        rehearsal && rehearsal->directory == authority.directory) {
      co_await note_rehearsal(*entry, authority, fence);
      co_return Done{};
    }
    auto facts = read_chain(issued->chain);  // obtain() has read it
    const auto key = PrivateKey::from_pem(issued->key.reveal());
    const auto key_type = key ? key->type() : std::nullopt;
    const Time renew_at = std::max(renewal_by_lifetime(facts->not_before, facts->not_after, environment_.chance()),
                                   earliest_renewal(now, facts->lifetime()));
    const auto change = [&](CertificateRecord& record) {
      record = CertificateRecord{.rehearsed = record.rehearsed};
      record.chain = issued->chain;
      record.key = Secret(std::string(issued->key.reveal()));
      record.facts = *facts;
      record.authority = authority.directory;
      record.key_type = key_type ? name_of(*key_type) : std::string();
      record.profile = authority.profile;
      record.renew_at = renew_at;
      record.issued_at = record.ask_at = now;
    };
    hold_back(*entry, not_stored("the certificate", {}), now);
    const auto stored = co_await store(*entry, change, fence);
    if (stored)
      entry->hold = {};
    else if (fleet_.is_leading() && fleet_.fence() == fence)
      keep_unstored(*entry, change);
    if (on_order) on_order(static_cast<bool>(stored));
    environment_.report(stored ? "certificate obtained" : "a certificate was obtained but could not be stored",
                        entry->name.host.value, !stored);
    co_return Done{};
  }

  const Problem& problem = issued.error();
  note_authority(authority, is_authority_to_blame(authority, *entry, problem) ? &problem : nullptr);
  note_limit(authority, *entry, problem);
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
  environment_.report("no certificate for " + entry->name.host.value, words, true);
  // Whoever is to blame, another host is the next to find out whether it is well again.
  hold_back(*entry, problem, now);
  const auto stored = co_await store(
      *entry,
      [&, held = entry->hold](CertificateRecord& record) {
        record.failures = held.failures;
        record.last_error = words;
        record.last_error_at = now;
        record.next_attempt = held.next_attempt;
        if (problem.is_of_the_names()) record.progress.reset();
      },
      fence);
  if (stored) entry->hold = {};
  co_return Done{};
}

// What a rehearsal has issued is not served: clients do not trust it.
Flow<Done> Certifier::note_rehearsal(Entry& entry, const Authority& rehearsal, std::uint64_t fence) {
  const AuthorityRef authority = authority_named(entry.authority);
  if (!authority) co_return Done{};
  hold_back(entry, not_stored("the rehearsal", {}), environment_.now());
  const auto stored = co_await store(
      entry,
      [&](CertificateRecord& record) {
        record.rehearsed = authority->directory;
        record.progress.reset();
        record.failures = 0;
        record.next_attempt = Time{};
        record.last_error.clear();
      },
      fence);
  if (on_order) on_order(static_cast<bool>(stored));
  if (stored) {
    entry.hold = {};
    environment_.report("acme." + rehearsal.name + " would issue, so acme." + authority->name + " is asked",
                        entry.name.host.value, false);
  }
  co_return Done{};
}

Flow<Done> Certifier::ask_for_renewal(EntryRef entry, AuthorityRef issuer, std::uint64_t fence) {
  const Authority& authority = *issuer;
  const Work work(*this, entry);
  Conversation conversation;
  Client client(conversation, authority.directory);
  auto flow = client.renewal_info(entry->record.facts->renewal_id);
  const bool is_probe = account_of(authority).is_probing;
  const bool has_ended = co_await drive(flow, conversation, &*entry, authority, fence);
  if (is_probe) account_of(authority).is_probing = false;
  if (!has_ended) co_return Done{};
  auto renewal = flow.result();
  const Time now = environment_.now();
  // Renewal information that is away is not the CA: whoever issues goes on, and this is asked for again later.
  if (!renewal && is_of_the_authority(renewal.error())) note_authority(authority, &renewal.error());
  const auto change = [&](CertificateRecord& record) {
    if (!renewal) {
      record.ask_at = std::max(now + renewal_question_failed, renewal.error().retry_at.value_or(now));
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
    record.renew_at = std::max(renewal_by_window((*renewal)->info, entry->record.facts->not_before,
                                                 entry->record.facts->not_after, environment_.chance()),
                               earliest_renewal(record.issued_at, entry->record.facts->lifetime()));
  };
  entry->hold.ask_at = now + renewal_question_failed;
  if (co_await store(*entry, change, fence)) entry->hold.ask_at = Time{};
  co_return Done{};
}

Flow<Done> Certifier::revoke(EntryRef entry, AuthorityRef issuer, std::uint64_t fence) {
  const Authority& authority = *issuer;
  const Work work(*this, entry);
  AccountConversation with(authority, *account_of(authority).key, account_of(authority).record.url);
  auto flow = with.client.revoke(leaf_der(entry->record.chain), entry->record.revoke.value_or(0), nullptr);
  if (!co_await drive(flow, with.conversation, &*entry, authority, fence)) co_return Done{};
  const auto revoked = flow.result();
  const Time now = environment_.now();
  environment_.report(revoked ? "certificate revoked" : "the certificate could not be revoked",
                      entry->name.host.value + (revoked ? "" : ": " + revoked.error().to_string()), !revoked);
  hold_back(*entry, revoked ? not_stored("the revocation", {}) : revoked.error(), now);
  const auto stored = co_await store(
      *entry,
      [&, held = entry->hold](CertificateRecord& record) {
        if (revoked) {
          record.revoke.reset();
          record.renew_now = true;
        } else {
          record.failures = held.failures;
          record.last_error = "the revocation: " + revoked.error().to_string();
          record.last_error_at = now;
          record.next_attempt = held.next_attempt;
        }
      },
      fence);
  if (stored) entry->hold = {};
  co_return Done{};
}

Flow<std::expected<Done, std::string>> Certifier::roll_over(std::string name) {
  const AuthorityRef known = authority_named(name);
  if (!known) co_return std::unexpected("gateway.yaml has no acme." + name);
  const Authority& authority = *known;
  Account& account = account_of(authority);
  if (!fleet_.is_leading())
    co_return std::unexpected(
        "this gateway does not hold the lease: ask the one whose /status says that it leads; one that is alone gets it "
        "with "
        "its first host that has tls: {acme: ...}");
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
  AccountConversation with(authority, *account.key, account.record.url);
  auto flow = with.client.change_key(next);
  if (!co_await drive(flow, with.conversation, nullptr, authority, fence))
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
