#!/usr/bin/env python3
"""Everything around the gateway goes wrong, each for itself and then all at once; a bystander must notice nothing.

Usage: bench/bad_day.py [--binary build/gatehouse] [--seconds 10]; run by hand, as root (it mounts a small tmpfs).
Troubles: the logs' disk is full; no file descriptor is left; garbage on every port (TLS, plain, PROXY protocol, admin);
upstreams that answer garbage, hang, reset and drip. The bystander is another tenant's client on open connections. For each
trouble: the bystander's requests and latencies, what the clients in trouble were answered, and which metric and which line
of the log name it. Exit 1 when the bystander had a failed request or waited more than 250 ms at p99, a metric or a line is
missing, a client in trouble waited longer than its route's time, the process ended, or service is not as before within 5 s.
"""
import argparse
import collections
import contextlib
import gc
import json
import multiprocessing
import os
import random
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness.client import request_bytes  # noqa: E402
from harness.gateway import Gateway, tenant  # noqa: E402
from harness.polling import poll  # noqa: E402
from harness.ports import free_port  # noqa: E402
from harness.upstream import Upstream  # noqa: E402
from nginx_upstream import nginx_upstream  # noqa: E402

ROUTE_TIMEOUT, DRIP = 2.0, 0.2  # seconds: of a whole exchange with a bad upstream; between two of its bytes
BAD = ("garbage", "hang", "reset", "drip")
ATTACK = "/?id=1%27%20OR%20%271%27=%271"
BEGINNINGS = (b"", b"GET / HTTP/1.1\r\nHost: ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PROXY TCP4 ",
              b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff", b"POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n")


def misbehave(connection, request):
    """An upstream's answer by the path that was asked for."""
    kind = request.target[1:]
    if kind == "garbage":
        connection.send(random.randbytes(300))
    elif kind == "hang":
        connection.upstream.released.wait(60)
    elif kind == "reset":
        connection.reset()
        return
    else:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not connection.upstream.released.wait(DRIP):
            connection.send(b"x")
    connection.close()


def is_record(line):
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def kind_of(answer):
    """What garbage was answered, by the first twelve bytes."""
    if answer.startswith(b"HTTP/1.1 "):
        return answer[9:].decode()
    return "ended" if not answer else "TLS alert" if answer[0] == 21 else "other"


def watch(gateway, stop, report):
    """The bystander, in a process of its own: (time, ms, status or the error's name) of each request over two connections."""
    records = []
    gc.disable()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(gateway.connect()) for _ in range(2)]
        while not stop.is_set():
            for number, connection in enumerate(connections):
                begin = time.monotonic()
                try:
                    outcome = connection.exchange(request_bytes(host="other.test")).status
                except Exception as error:  # noqa: BLE001
                    outcome = type(error).__name__
                    with contextlib.suppress(OSError):
                        connections[number] = stack.enter_context(gateway.connect())
                records.append((begin, (time.monotonic() - begin) * 1000, outcome))
            time.sleep(0.005)
    report.put(records)


class Day:
    """The gateway, its troubles, and what came of them."""

    def __init__(self, gateway, disk, ports):
        self.gateway, self.disk, self.ports = gateway, disk, ports
        self.stop = threading.Event()
        self.answers = collections.Counter()
        self.longest = 0.0
        self.failures = []

    def check(self, condition, what):
        print(f"  {'ok  ' if condition else 'FAIL'} {what}")
        if not condition:
            self.failures.append(what)

    # Troubles: each is begun, lasts until stop is set, and is ended.

    def fill_disk(self):
        with open(os.path.join(self.disk, "filler"), "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        self.stop.wait()
        os.unlink(os.path.join(self.disk, "filler"))

    def take_descriptors(self):
        _, hard = resource.prlimit(self.gateway.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.gateway.pid, resource.RLIMIT_NOFILE, (self.gateway.open_files(), hard))
        waiting = [socket.create_connection(self.gateway.http, timeout=20) for _ in range(100)]
        self.stop.wait()
        resource.prlimit(self.gateway.pid, resource.RLIMIT_NOFILE, (hard, hard))
        for connection in waiting:
            connection.close()

    def send_garbage(self):
        while not self.stop.is_set():
            for port in self.ports:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
                    connection.sendall(random.choice(BEGINNINGS) + random.randbytes(random.randrange(2000)))
                    if random.randrange(2):
                        connection.shutdown(socket.SHUT_WR)
                    self.answers["garbage " + kind_of(connection.recv(12))] += 1

    def ask_bad_upstreams(self, kind):
        while not self.stop.is_set():
            begin = time.monotonic()
            try:
                if kind == "drip":  # a stream may be slow; its reader leaves
                    with self.gateway.connect() as connection:
                        connection.send(request_bytes(target="/drip", host="bad.test"))
                        outcome = "comes as it is sent" if connection.socket.recv(4096).startswith(b"HTTP/1.1 200") else "does not come"
                        time.sleep(0.5)
                else:
                    outcome = str(self.gateway.request("/" + kind, host="bad.test", timeout=20).status)
            except Exception as error:  # noqa: BLE001
                outcome = type(error).__name__
            self.answers[f"{kind} {outcome}"] += 1
            self.longest = max(self.longest, time.monotonic() - begin)
            self.stop.wait(0.02)

    def ask_and_attack(self):
        """Something to be logged, on a connection that is open."""
        with self.gateway.connect() as connection:
            while not self.stop.is_set():
                with contextlib.suppress(Exception):
                    self.answers[f"shop {connection.exchange(request_bytes()).status}"] += 1
                    self.answers[f"attack {connection.exchange(request_bytes(target=ATTACK)).status}"] += 1
                self.stop.wait(0.002)

    def run(self, names, seconds, records):
        """Begins all of `names`, waits, ends them; then everything must be as before."""
        print(f"{' + '.join(names)}, {seconds} s")
        self.stop.clear()
        self.answers.clear()
        self.longest = 0.0
        troubles = [TROUBLES[name] for name in names]
        at_first = self.gateway.metrics()
        before = {(name, tuple(labels.items())): at_first.total(name, **labels) for _, metrics, _ in troubles for name, labels in metrics}
        said = len(self.gateway.log)
        begin = time.monotonic()
        threads = [threading.Thread(target=action[0], args=(self, *action[1:])) for actions, _, _ in troubles for action in actions]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        for (name, labels), value in before.items():
            now = self.gateway.metrics().total(name, **dict(labels))
            self.check(now > value, f"metric {name}{dict(labels)}: {value:g} -> {now:g}")
        self.check(self.gateway.admin("/readyz").status == 200 and self.gateway.running(), "ready, and the process is the same")
        self.stop.set()
        for thread in threads:
            thread.join()
        end = time.monotonic()
        for _, _, lines in troubles:
            for line in lines:
                self.check(line in self.gateway.log[said:], f"log: {line!r}")
        recovered = time.monotonic()
        try:
            poll(lambda: self.gateway.request(host="other.test", timeout=5).status == 200 and self.gateway.request().status == 200, "service as before", 5)
        except AssertionError:
            pass
        self.check(time.monotonic() - recovered < 5, f"service as before {time.monotonic() - recovered:.2f} s after the end")
        self.check(self.longest < ROUTE_TIMEOUT + 1, f"clients in trouble: {dict(sorted(self.answers.items()))}, longest {self.longest:.2f} s")
        records.append((begin, end))


# What is done at once, each by a thread; metrics that must grow meanwhile; lines that the log must have.
TROUBLES = {
    "disk full": ([(Day.fill_disk,), (Day.ask_and_attack,)], [("gatehouse_log_write_errors", {"log": "access"})], ["No space left on device"]),
    "no descriptors": ([(Day.take_descriptors,)], [("gatehouse_accept_pauses_total", {})], ["new connections wait"]),
    "garbage on every port": ([(Day.send_garbage,), (Day.send_garbage,)], [("gatehouse_tls_handshakes_total", {"result": "failed"}),
                                                                           ("gatehouse_local_replies_total", {"reason": "malformed"})], []),
    "bad upstreams": ([(Day.ask_bad_upstreams, kind) for kind in BAD],
                      [("gatehouse_local_replies_total", {"tenant": "bad", "reason": reason}) for reason in ("upstream", "timeout")], []),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "gatehouse"))
    parser.add_argument("--seconds", type=float, default=10.0, help="of each trouble (default 10)")
    options = parser.parse_args()
    os.environ["GATEHOUSE"] = options.binary
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(tempfile.TemporaryDirectory())
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], check=True)
        stack.callback(subprocess.run, ["umount", "-l", disk], check=True)
        upstream, bad = stack.enter_context(nginx_upstream()), stack.enter_context(Upstream(misbehave, record=False))
        proxied = free_port()
        tenants = {"shop": tenant(upstream=upstream, waf={"mode": "block"}), "other": tenant("other", upstream, waf={"mode": "block"}),
                   "bad": tenant("bad", bad, routes=[{"match": {"path": "/"}, "service": "web", "timeout": f"{ROUTE_TIMEOUT:g}s"}])}
        logs = {f"{kind}_log": {"path": os.path.join(disk, f"{kind}.log")} for kind in ("access", "audit")}
        gateway = stack.enter_context(Gateway(
            tenants, {**logs, "trusted_proxies": ["127.0.0.0/8"]},
            listeners=[{"address": f"127.0.0.1:{proxied}", "protocol": "http", "proxy_protocol": "required"}]))
        process, memory = gateway.pid, gateway.memory_bytes()
        day = Day(gateway, disk, [gateway.https_port, gateway.http_port, proxied, gateway.admin_port])
        stop, report, spans = multiprocessing.Event(), multiprocessing.Queue(), []
        bystander = multiprocessing.Process(target=watch, args=(gateway, stop, report))
        bystander.start()
        time.sleep(1)
        sequences = [[name] for name in TROUBLES] + [[name for name in TROUBLES if name != "no descriptors"]]  # nothing else would get to the gateway
        for names in sequences:
            day.run(names, options.seconds, spans)
        bad.released.set()
        stop.set()
        records = report.get(timeout=30)
        bystander.join()
        print("bystander")
        for names, (begin, end) in zip(sequences, spans):
            of_trouble = [(ms, outcome) for at, ms, outcome in records if begin <= at < end]
            latencies = sorted(ms for ms, _ in of_trouble)
            failed = collections.Counter(outcome for _, outcome in of_trouble if outcome != 200)
            p99 = latencies[int(len(latencies) * .99)]
            day.check(not failed and p99 <= 250, f"{' + '.join(names)}: {len(latencies)} requests, failed {dict(failed)}, "
                                                 f"p99 {p99:.1f} ms, most {latencies[-1]:.1f} ms")
        day.check(gateway.pid == process, f"one process throughout; memory grew by {(gateway.memory_bytes() - memory) / (1 << 20):.1f} MiB")
        for log in ("access", "audit"):
            gateway.wait_metric(0, "gatehouse_log_queued_bytes", log=log)
        for path in (gateway.config["access_log"]["path"], gateway.config["audit_log"]["path"]):
            with open(path, encoding="utf-8") as file:
                lines = file.read().splitlines()
            torn = [f"line {number} of {len(lines)}: {line[:80]} ... {line[-80:]}" for number, line in enumerate(lines, 1) if not is_record(line)]
            day.check(lines and not torn, f"{os.path.basename(path)}: {len(lines)} lines, {len(torn)} of them torn {torn}")
    return 1 if day.failures else 0


if __name__ == "__main__":
    sys.exit(main())
