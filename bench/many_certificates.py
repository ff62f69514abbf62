#!/usr/bin/env python3
"""Thousands of hosts with certificates that the gateway has obtained before: how long it takes to start, and what a host costs.

Usage: bench/many_certificates.py [--binary build/gatehouse] [--hosts 10000] [--seconds 3] [--kib 16]; run by hand; needs pebble.
The first certificate is Pebble's; the others are copies of it under other names, put into the storage as the gateway stores them.
Prints the start, the memory beyond that of one host, by host and without the chain and key that are stored, and the
processor time of a handshake with one host and with all; exit 1 when the start takes longer or a host costs more.
"""
import argparse
import json
import os
import re
import socket
import ssl
import statistics
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness.certificates import Authority  # noqa: E402
from harness.gateway import Gateway, tenant  # noqa: E402
from harness.pebble import Pebble  # noqa: E402
from harness.polling import poll  # noqa: E402


def processor_share(gateway, seconds=10):
    """Of what the gateway does without clients."""
    before = gateway.cpu_seconds()
    time.sleep(seconds)
    return (gateway.cpu_seconds() - before) / seconds


def shake_hands(gateway, names, count):
    context = ssl._create_unverified_context()
    for number in range(count):
        with socket.create_connection(gateway.https) as plain:
            with context.wrap_socket(plain, server_hostname=names[number % len(names)]):
                pass


def handshake_cost(gateway, names, idle, count=2000, rounds=5):
    """Processor time of one, in microseconds, without what passes by itself: the median of some rounds."""
    costs = []
    for _ in range(rounds):
        before, begin = gateway.cpu_seconds(), time.monotonic()
        shake_hands(gateway, names, count)
        costs.append((gateway.cpu_seconds() - before - idle * (time.monotonic() - begin)) / count * 1e6)
    return statistics.median(costs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "gatehouse"))
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--kib", type=float, default=16.0)
    options = parser.parse_args()
    os.environ["GATEHOUSE"] = options.binary
    folder = tempfile.mkdtemp(prefix="gatehouse-bench-")
    names = [f"h{number}.example.test" for number in range(options.hosts)]

    def tenants(count):
        return {f"t{first // 1000}": tenant(f"t{first // 1000}", hosts=[{"name": name, "tls": {"acme": "default"}} for name in names[first:min(first + 1000, count)]])
                for first in range(0, count, 1000)}

    gateway = Gateway(tenants(1), folder=folder, start=False)
    with Pebble(Authority(os.path.join(folder, "ca")), http_port=gateway.http_port, tls_port=gateway.https_port) as pebble:
        gateway.write_config(acme={"default": {"directory": pebble.directory, "ca_file": pebble.ca_file}})
        gateway.start()
        poll(lambda: gateway.metric("gatehouse_acme_orders_total", result="success") == 1, "a certificate", deadline=60)
        gateway.stop()
        gateway.start()
        shake_hands(gateway, names[:1], 2000)
        alone = handshake_cost(gateway, names[:1], processor_share(gateway))
        first = gateway.memory_bytes()
        gateway.stop()

        items = os.path.join(folder, "state", "certificates", "items")
        with open(os.path.join(items, f"certificate%2F{names[0]}"), encoding="utf-8") as file:
            record = file.read().split("\n", 1)[1]
        data = len(json.loads(record)["chain"]) + len(json.loads(record)["key"])
        for number, name in enumerate(names[1:]):
            path = os.path.join(items, f"certificate%2F{name}")
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"gatehouse-item 1 {1000 + number}\n" + re.sub(r'"ask_at":\d+', '"ask_at":4000000000', record.replace(names[0], name)))
            os.chmod(path, 0o600)
        state = os.path.join(folder, "state", "certificates", ".state")
        with open(state, encoding="utf-8") as file:
            epoch, _, fence = file.read().split()
        with open(state, "w", encoding="utf-8") as file:
            file.write(f"{epoch} {1000 + options.hosts} {fence}\n")
        for stem, content in tenants(options.hosts).items():
            gateway.write_tenant(stem, content)
        begin = time.monotonic()
        gateway.start()
        seconds = time.monotonic() - begin
        idle = gateway.memory_bytes()
        shake_hands(gateway, names, options.hosts)
        share = processor_share(gateway)
        everywhere = handshake_cost(gateway, names, share)
        used = gateway.memory_bytes()
        orders = gateway.metric("gatehouse_acme_orders_total")
        gateway.stop()
    cost = ((used - first) / (options.hosts - 1) - data) / 1024
    print(f"{options.hosts} hosts: start {seconds:.2f} s, {orders:.0f} orders; memory {first / 2**20:.0f} MiB with one, {idle / 2**20:.0f} MiB after the start, "
          f"{used / 2**20:.0f} MiB when each was used: {cost:.1f} KiB a host beyond {data / 1024:.1f} KiB of chain and key; "
          f"{share * 100:.1f} % of a processor without clients; handshake {alone:.0f} us with one host, {everywhere:.0f} us with all (x{everywhere / alone:.3f})")
    return 1 if seconds > options.seconds or cost > options.kib or orders else 0


if __name__ == "__main__":
    sys.exit(main())
