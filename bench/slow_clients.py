#!/usr/bin/env python3
"""Thousands of clients that send heads and bodies byte by byte, or read their answer so: each must be ended in time.

Usage: bench/slow_clients.py [--binary build/gatehouse] [--clients 5000] [--limit 35]; run by hand.
A third of the clients drips a request's head, a third a body, a third reads slowly what it asked for; a byte each second,
from 50 addresses. Prints when the last of each kind was ended, the gateway's memory and another client's latencies; exit
1 when one lived longer than the limit, or the other client had a failed request or waited more than 250 ms at p99.
"""
import argparse
import gc
import multiprocessing
import os
import selectors
import socket
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness.client import request_bytes  # noqa: E402
from harness.gateway import Gateway, tenant  # noqa: E402
from nginx_upstream import nginx_upstream  # noqa: E402

KINDS = ("head", "body", "reading")
BEGIN = {"head": b"GET / HTTP/1.1\r\nHost: shop.test\r\nX-Slow: ",
         "body": b"POST /read HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1000000\r\n\r\n",
         "reading": b"GET /file HTTP/1.1\r\nHost: shop.test\r\n\r\n"}


ESTABLISHED = 1  # tcpi_state; what is in the client's buffer can still be read after the end


class Slow:
    """One slow client; `ended` is its age when the gateway ended it."""

    def __init__(self, address, number):
        self.kind, self.born, self.ended = KINDS[number % 3], time.monotonic(), None
        self.socket = socket.socket()
        if self.kind == "reading":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.bind((f"127.0.2.{1 + number % 50}", 0))
        self.socket.connect(address)
        self.socket.setblocking(False)
        self.socket.send(BEGIN[self.kind])

    def drip(self):
        try:
            if self.kind == "reading":
                self.socket.recv(1)
                if self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != ESTABLISHED:
                    self.end()
            else:
                self.socket.send(b"x")
        except BlockingIOError:
            pass
        except OSError:
            self.end()

    def readable(self):
        """For those who send: an answer (408) or the end."""
        try:
            if self.socket.recv(4096) == b"":
                self.end()
        except BlockingIOError:
            pass
        except OSError:
            self.end()

    def end(self):
        if self.ended is None:
            self.ended = time.monotonic() - self.born


def visit(gateway, stop, report):
    """An ordinary client meanwhile, in a process of its own that neither the slow clients nor a collection of objects hold up:
    reports the latencies in ms and how many requests failed."""
    latencies, failed = [], 0
    gc.disable()
    while not stop.is_set():
        try:
            with gateway.connect() as connection:
                for _ in range(5):
                    begin = time.monotonic()
                    failed += connection.exchange(request_bytes(host="other.test")).status != 200
                    latencies.append((time.monotonic() - begin) * 1000)
        except Exception:  # noqa: BLE001
            failed += 1
        time.sleep(0.02)
    report.put((latencies, failed))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "gatehouse"))
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--limit", type=float, default=35.0, help="seconds (default 35)")
    options = parser.parse_args()
    os.environ["GATEHOUSE"] = options.binary
    with nginx_upstream(file_bytes=50_000_000) as upstream, nginx_upstream() as prompt, \
            Gateway({"shop": tenant(upstream=upstream), "other": tenant("other", prompt)}) as gateway:
        gateway.request("/")
        before = gateway.memory_bytes()
        clients, selector = [], selectors.DefaultSelector()
        for number in range(options.clients):
            client = Slow(gateway.http, number)
            clients.append(client)
            if client.kind != "reading":
                selector.register(client.socket, selectors.EVENT_READ, client)
        stop, report = multiprocessing.Event(), multiprocessing.Queue()
        other = multiprocessing.Process(target=visit, args=(gateway, stop, report))
        other.start()
        peak, end = 0, time.monotonic() + options.limit + 10
        next_drip = time.monotonic() + 1
        while any(client.ended is None for client in clients) and time.monotonic() < end:
            for key, _ in selector.select(max(0.0, next_drip - time.monotonic())):
                key.data.readable()
                if key.data.ended is not None:
                    selector.unregister(key.fileobj)
            if time.monotonic() >= next_drip:
                next_drip += 1
                peak = max(peak, gateway.memory_bytes())
                for client in clients:
                    if client.ended is None:
                        client.drip()
                        if client.ended is not None and client.kind != "reading":
                            selector.unregister(client.socket)
        stop.set()
        latencies, others_failed = report.get(timeout=30)
        other.join()
        failed = False
        for kind in KINDS:
            ages = sorted(client.ended if client.ended is not None else float("inf") for client in clients if client.kind == kind)
            late = sum(age > options.limit for age in ages)
            print(f"{kind:8} {len(ages):5} clients, ended after {ages[0]:.1f} to {ages[-1]:.1f} s, {late} too late")
            failed = failed or ages[-1] > options.limit
        latencies.sort()
        p99 = latencies[int(len(latencies) * 0.99)]
        print(f"another client: {len(latencies)} requests, {others_failed} failed, p50 {latencies[len(latencies) // 2]:.1f} ms, p99 {p99:.1f} ms, "
              f"max {latencies[-1]:.1f} ms; memory grew by at most {(peak - before) / (1 << 20):.1f} MiB")
        for client in clients:
            client.socket.close()
    return 1 if failed or others_failed or p99 > 250 else 0


if __name__ == "__main__":
    sys.exit(main())
