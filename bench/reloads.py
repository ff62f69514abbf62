#!/usr/bin/env python3
"""Reloads under load: requests, open tunnels and memory while the configuration alternates.

Usage: bench/reloads.py [--binary build/gatehouse] [--reloads 1000] [--tunnels 200] [--tenants 20]; run by hand.
Each reload is one SIGHUP with two tenants changed (routes, WAF policy). Exit 1 when a request failed, a tunnel dropped,
or memory after the last reload is more than a tenth above that after the first hundred.
"""
import argparse
import os
import signal
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness.client import request_bytes  # noqa: E402
from harness.gateway import Gateway, tenant  # noqa: E402
from harness.upstream import Upstream, echo  # noqa: E402

UPGRADE = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
           ("Sec-WebSocket-Version", "13")]


def serve(connection, request):
    """101 and then an echo of bytes, or an ordinary answer."""
    if request.target != "/socket":
        echo(connection, request)
        return
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
    while data := connection.socket.recv(4096):
        connection.send(data)


def variant(upstream, name, number):
    rule = f'SecRule ARGS:x "@streq {number % 7}" "id:10001,phase:2,deny,status:403"'
    return tenant(name, upstream, waf={"mode": "block", "paranoia": 1 + number % 2, "rules_before": rule},
                  routes=[{"match": {"path": "/socket"}, "service": "web"}, {"match": {"path": f"/v{number % 3}"}, "service": "web"},
                          {"match": {"path": "/"}, "service": "web"}])


class Load:
    """Clients that ask until they are stopped; what went wrong is kept."""

    def __init__(self, gateway, hosts):
        self.gateway, self.hosts, self.failures, self.count, self.stop = gateway, hosts, [], 0, threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(4)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        while not self.stop.is_set():
            try:
                with self.gateway.connect() as connection:
                    for turn in range(25):
                        host = self.hosts[(number + turn) % len(self.hosts)]
                        status = connection.exchange(request_bytes(target="/page?a=1", host=host)).status
                        if status != 200:
                            self.failures.append(status)
                        self.count += 1
            except Exception as error:  # noqa: BLE001
                self.failures.append(repr(error))

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "gatehouse"))
    parser.add_argument("--reloads", type=int, default=1000)
    parser.add_argument("--tunnels", type=int, default=200)
    parser.add_argument("--tenants", type=int, default=20)
    options = parser.parse_args()
    os.environ["GATEHOUSE"] = options.binary
    names = [f"t{number:02}" for number in range(options.tenants)]
    with Upstream(serve, record=False) as upstream, \
            Gateway({name: variant(upstream, name, 0) for name in names}, {"limits": {"connections_per_client": 0}}) as gateway:
        tunnels = []
        for number in range(options.tunnels):
            tunnel = gateway.connect()
            tunnel.send(request_bytes(target="/socket", host=f"{names[number % len(names)]}.test", headers=UPGRADE))
            assert tunnel.response().status == 101
            tunnels.append(tunnel)
        load, memory, dropped, slowest = Load(gateway, [f"{name}.test" for name in names]), {}, 0, 0.0
        begin = time.monotonic()
        for number in range(1, options.reloads + 1):
            for name in (names[number % len(names)], names[(number * 7) % len(names)]):
                gateway.write_tenant(name, variant(upstream, name, number))
            before, sent = gateway.metric("gatehouse_config_reloads_total"), time.monotonic()
            gateway.signal(signal.SIGHUP)
            while gateway.metric("gatehouse_config_reloads_total") == before:
                time.sleep(0.002)
            slowest = max(slowest, time.monotonic() - sent)
            for tunnel in tunnels[number % 10::10]:
                try:
                    tunnel.send(b"%08d" % number)
                    dropped += tunnel.buffer.take(8) != b"%08d" % number
                except Exception as error:  # noqa: BLE001
                    dropped += 1
                    print("tunnel:", repr(error))
            if number % 100 == 0:
                memory[number] = gateway.memory_bytes()
                print(f"{number:5} reloads  {memory[number] / (1 << 20):6.1f} MiB  {load.count} requests, {len(load.failures)} failed, "
                      f"{dropped} tunnels dropped", flush=True)
        seconds = time.monotonic() - begin
        load.end()
        success = gateway.metric("gatehouse_config_reloads_total", result="success")
        for tunnel in tunnels:
            tunnel.close()
    growth = memory[max(memory)] / memory[min(memory)] - 1
    print(f"{options.reloads} reloads ({success:.0f} applied) in {seconds:.0f} s, the slowest {slowest * 1000:.0f} ms; {load.count} requests, "
          f"{len(load.failures)} failed {load.failures[:3]}; {dropped} tunnels dropped; memory {growth:+.1%} since the first hundred")
    return 1 if load.failures or dropped or growth > 0.1 or success < options.reloads else 0


if __name__ == "__main__":
    sys.exit(main())
