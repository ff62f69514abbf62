"""A running gateway whose two honest tenants are served without a break while hostile files come, change and go around them."""
import collections
import json
import os
import random
import signal
import threading
import time

import yaml

from document import HARMLESS, REFUSE
from generator import generate
from harness.client import Connection, request_bytes
from harness.gateway import sanitizer
from harness.polling import poll
from oracle import canonical, log_faults, metrics_faults, read
from placing import place, remove
from world import HOSTS_A, World

BATCH = 100
GROWTH = 48 << 20     # of memory between the end of the first quarter and the end
SLOWEST = 5.0         # seconds, for one honest request on a machine that others use too


class Client(threading.Thread):
    """Asks one honest host over and over; every answer must be right."""

    def __init__(self, gateway, host, tenant):
        super().__init__(daemon=True)
        self.gateway, self.host, self.tenant = gateway, host, tenant
        self.seconds, self.faults, self.done = [], [], threading.Event()

    def run(self):
        number = 0
        while not self.done.is_set():
            with Connection(self.gateway.http) as connection:
                for _ in range(50):
                    number += 1
                    self._ask(connection, number)
                    if self.done.wait(0.005) or self.faults:
                        break

    def _ask(self, connection, number):
        attack = self.tenant == "honest-a" and number % 7 == 0
        target = f"/{number}" + ("?honest=probe" if attack else "")
        start = time.monotonic()
        try:
            connection.send(request_bytes(target=target, host=self.host))
            response = connection.response()
            good = response.status == 403 if attack else response.status == 200 and json.loads(response.body)["target"] == target
            if not good:
                self.faults.append(f"{self.host}{target}: {response.status} {response.body[:100]!r}")
        except Exception as error:  # whatever it is, an honest client has not been served
            self.faults.append(f"{self.host}{target}: {error!r}")
        self.seconds.append(time.monotonic() - start)


class Live:
    def __init__(self, upstream, seed, count, families=None):
        self.upstream, self.seed, self.count = upstream, seed, count
        upstream.record = False
        self.families = families
        self.world = World(upstream, redis=False)
        self.gateway = self.world.gateway
        self.faults = []
        self.rng = random.Random(f"{seed}:live")
        self.present = {}                # stem: case
        self.stems = set()               # of all files so far
        self.served = collections.Counter()
        self.reloads = self.asked = 0
        self.log_seen = {}
        self.memory = []

    def fault(self, words):
        self.faults.append(words)
        print(f"FAILED live: {words[:600]}", flush=True)

    def run(self):
        """The number of faults."""
        gateway = self.gateway
        print(f"live: {self.count} files, seed {self.seed}", flush=True)
        gateway.start()
        clients = [Client(gateway, HOSTS_A[0], "honest-a"), Client(gateway, "x.wild.honest.test", "honest-b")]
        before = self._honest_status()
        try:
            for client in clients:
                client.start()
            start, memory, largest = time.monotonic(), self.memory, 0
            cases = list(generate(self.world, f"{self.seed}:live", self.count, self.families))
            for first in range(0, len(cases), BATCH):
                self._batch(cases[first:first + BATCH], by_signal=self.rng.random() < 0.5)
                self._observe(before, clients)
                memory.append(gateway.memory_bytes())
                largest = max(largest, gateway.peak_memory_bytes())
                if len(self.faults) > 50 or not gateway.running():
                    break
            for case in list(self.present.values()):
                self._take(case)
            self._reload(by_signal=True)
            self._observe(before, clients)
            memory.append(gateway.memory_bytes())
            for client in clients:
                client.done.set()
                client.join(20)
            seconds = sorted(second for client in clients for second in client.seconds)
            growth = memory[-1] - memory[len(memory) // 4]
            if growth > GROWTH and sanitizer() is None:
                self.fault(f"grew by {growth >> 20} MiB: {[each >> 20 for each in memory]}")
            if seconds[-1] > SLOWEST and sanitizer() is None:
                self.fault(f"an honest request took {seconds[-1]:.2f} s")
            print(f"  {len(cases)} files of {len(self.stems)} tenants in {time.monotonic() - start:.0f} s, {self.reloads} reloads; {len(seconds)} honest requests, median {seconds[len(seconds) // 2] * 1000:.1f} ms, "
                  f"p99 {seconds[len(seconds) * 99 // 100] * 1000:.0f} ms, slowest {seconds[-1] * 1000:.0f} ms; {self.asked} requests to {len(self.served)} hostile tenants that were accepted; "
                  f"memory {memory[0] >> 20}, {memory[len(memory) // 4] >> 20}, {memory[-1] >> 20} MiB at the first batch, a quarter and the end, at most {largest >> 20}; {len(self.faults)} failures", flush=True)
            gateway.stop()
        finally:
            for client in clients:
                client.done.set()
            gateway.kill()
            gateway.discard()
        return len(self.faults)

    def _honest_status(self):
        tenants = {tenant["name"]: tenant for tenant in self.gateway.status_page()["tenants"]}
        return {name: {key: value for key, value in tenants[name].items() if key not in ("requests_in_flight", "rate_limits")} for name in self.world.names}

    def _take(self, case):
        remove(case)
        del self.present[case.stem]

    def _batch(self, cases, by_signal):
        """New files, others in the place of some that are there, and some that go."""
        for case in cases:
            if self.present and self.rng.random() < 0.3:
                old = self.present[self.rng.choice(list(self.present))]
                if old.kind == "file" and case.kind == "file":   # the file of an old one changes
                    self._take(old)
                    case.stem, case.file_name = old.stem, old.file_name
                elif self.rng.random() < 0.8:
                    self._take(old)
            place(case)
            self.present[case.stem] = case
            self.stems.add(case.stem)
        for case in self.rng.sample(list(self.present.values()), max(0, len(self.present) - 2 * BATCH)):
            self._take(case)
        self._reload(by_signal)

    def _reload(self, by_signal):
        """By SIGHUP, or by the watch of the files; until it has been applied."""
        gateway = self.gateway
        before = gateway.metric("gatehouse_config_reloads_total")
        marker = f"m{self.reloads:05d}"
        self.reloads += 1
        # A new name, written last: a reload that lists it has listed all before.
        if self.reloads > 1:
            gateway.remove_tenant(f"z-{self.marker}")
        gateway.write_tenant(f"z-{marker}", f"tenant: {marker}\nhosts: [{{name: {marker}.marker.test, tls: off}}]\nservices: {{web: {{sites: [{{site: here, endpoints: [\"{self.upstream.address}\"]}}]}}}}\n"
                                         "routes: [{match: {path: /}, service: web}]\nwaf: {mode: off}\n")
        if by_signal:
            gateway.signal(signal.SIGHUP)
            poll(lambda: gateway.metric("gatehouse_config_reloads_total") > before, "the reload to be counted", 60)
        poll(lambda: marker in {tenant["name"] for tenant in gateway.status_page()["tenants"]}, "the reload", 60)
        self.marker = marker

    def _observe(self, honest, clients):
        gateway = self.gateway
        if self._honest_status() != honest:
            self.fault(f"the honest tenants have changed: {self._honest_status()}")
        for client in clients:
            for words in client.faults:
                self.fault(f"an honest request failed: {words}")
            client.faults.clear()
            if not client.is_alive() and not client.done.is_set():
                self.fault(f"the client of {client.host} has ended")
        status = gateway.status_page()["tenants"]
        names = collections.Counter(tenant["name"] for tenant in status)
        if any(count > 1 for count in names.values()):
            self.fault(f"names twice in /status: {[name for name, count in names.items() if count > 1]}")
        owners = {}
        for tenant in status:
            for host in tenant["hosts"]:
                name = canonical(host["name"])
                if name in owners:
                    self.fault(f"{name!r} belongs to {owners[name]} and {tenant['name']}")
                owners[name] = tenant["name"]
        for name, hosts in self.world.hosts.items():
            for host in hosts:
                if owners.get(canonical(host)) != name:
                    self.fault(f"{host} belongs to {owners.get(canonical(host))}")
        self._ask_hostile(status)
        known = {"-", self.marker, *self.world.names, *names, *self.stems}
        # A file whose name is not a good one is seen under a part of it.
        for words in metrics_faults(gateway.admin("/metrics").text, lambda tenant: tenant in known or tenant[:7] in self.stems):
            self.fault(words)
        for labels in self.world.names:
            if gateway.metric("gatehouse_tenant_config_valid", tenant=labels) != 1:
                self.fault(f"gatehouse_tenant_config_valid of {labels} is not 1")
        for path in (gateway.access_log, gateway.audit_log):
            for words in log_faults(self._news(path)):
                self.fault(f"{os.path.basename(path)}: {words}")
        journal = bytes(gateway.output + gateway.errors)
        seen = self.log_seen.get("journal", 0)
        end = journal.rfind(b"\n") + 1
        for words in log_faults(journal[seen:end]):
            self.fault(f"journal: {words}")
        self.log_seen["journal"] = end

    def _news(self, path):
        """Whole lines that were added to a log."""
        if not os.path.exists(path):
            return b""
        with open(path, "rb") as file:
            file.seek(self.log_seen.get(path, 0))
            data = file.read()
        data = data[:data.rfind(b"\n") + 1]
        self.log_seen[path] = self.log_seen.get(path, 0) + len(data)
        return data

    def _ask_hostile(self, status):
        """Requests to some of the accepted ones, so that their names come into logs and metrics."""
        serving = {tenant["name"] for tenant in status if tenant["serving"]}
        valid = {tenant["name"] for tenant in status if tenant["valid"]}
        accepted = []
        for case in self.present.values():
            try:
                document = read(case.text) if case.kind == "file" else {}
            except (ValueError, yaml.YAMLError, RecursionError):
                continue
            if not isinstance(document, dict) or not isinstance(document.get("tenant"), str):
                continue
            if document["tenant"] in serving and document["tenant"].startswith("t-"):
                accepted.append((case, document))
            if case.intent == HARMLESS and document["tenant"] not in serving and not self._was_replaced(case):
                self.fault(f"{case.number} {case.family} is not served: {case.note}")
            # Who claims others' hosts beside its own is invalid, and served without them.
            refused = valid if case.is_wrong_by_hosts_alone else serving
            if case.intent == REFUSE and document["tenant"] == f"t-{case.number}" and f"t-{case.number}" in refused:
                self.fault(f"{case.number} {case.family} is served: {case.note}")
        for case, document in self.rng.sample(accepted, min(10, len(accepted))):
            host = next((host["name"] for host in document["hosts"] if host.get("tls") == "off" and host["name"].isascii()), None)
            if host is None or "*" in host:
                continue
            self.asked += 1
            self.served[document["tenant"]] += 1
            with self.gateway.connect() as connection:
                connection.try_send(request_bytes(target="/x'or'1'='1?x=y&a=%3Cscript%3E", host=host, close=True))
                connection.outcome()

    def _was_replaced(self, case):
        return case.stem != f"h{case.number:06d}"
