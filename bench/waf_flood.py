#!/usr/bin/env python3
"""What other clients notice while one client sends requests whose inspection costs seconds, as fast as it can.

Usage: bench/waf_flood.py [--binary build/gatehouse] [--seconds 10] [--connections 32] [--limit MS]; run by hand.
Prints the others' latencies without and under the attack, and what became of the attacker's requests; exit 1 when
another client waited longer than the limit (default 250 ms), or a request of the attacker's passed uninspected.
"""
import argparse
import collections
import gc
import json
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
from harness.upstream import Upstream  # noqa: E402

FORM = [("Content-Type", "application/x-www-form-urlencoded")]


def attacking_form(body):
    return request_bytes("POST", "/attack", "shop.test", FORM, body)


ATTACKS = {
    "quotes": attacking_form("a=" + "'+" * 60_000),       # 7 s of processor time with the Core Rule Set 3.3.4
    "short quotes": attacking_form("a=" + "'+" * 1_900),  # just below what is inspected elsewhere without trying
    "tiny quotes": attacking_form("a=" + "'+" * 400),     # a millisecond or two, but many of them
    "comments": attacking_form("a=" + "%3C!--" * 10_000),
    "prose": attacking_form("a=" + "The+quick+brown+fox+" * 6_000),
    "arguments": request_bytes("GET", "/attack?" + "a&" * 3_900 + "a", "shop.test"),
    "cookies": request_bytes("GET", "/attack", "shop.test", [("Cookie", "a=b; " * 800)]),
}


def attack(port, request, connections, stop, report):
    """One request after the other on each connection; answers by status."""
    answers, selector = collections.Counter(), selectors.DefaultSelector()

    def connect():
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE, {"left": request, "got": b""})

    for _ in range(connections):
        connect()
    while not stop.is_set():
        for key, events in selector.select(0.1):
            state, connection = key.data, key.fileobj
            try:
                if events & selectors.EVENT_WRITE and state["left"]:
                    state["left"] = state["left"][connection.send(state["left"]):]
                    if not state["left"]:
                        selector.modify(connection, selectors.EVENT_READ, state)
                if events & selectors.EVENT_READ:
                    data = connection.recv(65536)
                    state["got"] += data
                    head, end, rest = state["got"].partition(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0) if end else 0
                    if end and len(rest) >= length:
                        answers[head.split(b" ")[1].decode()] += 1
                        state["got"], state["left"] = b"", request
                        selector.modify(connection, selectors.EVENT_READ | selectors.EVENT_WRITE, state)
                    if not data:
                        raise ConnectionResetError
            except (BlockingIOError, InterruptedError):
                pass
            except OSError:
                selector.unregister(connection)
                connection.close()
                answers["closed"] += 1
                connect()
    report.put(dict(answers))


def visit(gateway, seconds):
    """Ordinary requests over several connections, so that each worker has some: their latencies in ms, sorted."""
    latencies = []
    small = request_bytes("GET", "/page?id=1&q=some+words", "other.test")
    form = request_bytes("POST", "/form", "other.test", FORM, "name=Anna&text=" + "some+words+" * 60)
    same = request_bytes("GET", "/page?id=1", "shop.test")
    connections = [gateway.connect() for _ in range(8)]
    end = time.monotonic() + seconds
    gc.collect()
    gc.disable()  # a collection of all objects holds this program for 50 ms, and for several times that where processors are busy
    try:
        while time.monotonic() < end:
            for connection in connections:
                for request in (small, form, same):
                    begin = time.monotonic()
                    response = connection.exchange(request)
                    latencies.append((time.monotonic() - begin) * 1000)
                    assert response.status == 200, response
            time.sleep(0.002)
    finally:
        gc.enable()
        for connection in connections:
            connection.close()
    return sorted(latencies)


def show(name, latencies):
    at = lambda share: latencies[min(int(len(latencies) * share), len(latencies) - 1)]  # noqa: E731
    print(f"  {name:14} {len(latencies):6} requests  p50 {at(.5):6.1f} ms  p99 {at(.99):6.1f} ms  max {latencies[-1]:6.1f} ms", flush=True)


def verdicts(gateway):
    metrics, name = gateway.metrics(), "gatehouse_waf_requests_total"
    return {labels["verdict"]: metrics.total(name, **labels) for labels in metrics.labels(name) if labels["tenant"] == "shop"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "gatehouse"))
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--limit", type=float, default=250, help="ms (default 250)")
    parser.add_argument("--attacks", default=",".join(ATTACKS))
    options = parser.parse_args()
    os.environ["GATEHOUSE"] = options.binary
    failed = False
    with Upstream() as upstream:
        for name in options.attacks.split(","):
            with Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block"}),
                          "other": tenant("other", upstream, waf={"mode": "block"})}) as gateway:
                print(name)
                visit(gateway, 1)
                show("alone", visit(gateway, 3))
                before = verdicts(gateway)
                upstream.forget()
                stop, report = multiprocessing.Event(), multiprocessing.Queue()
                attacker = multiprocessing.Process(target=attack, args=(gateway.http_port, ATTACKS[name], options.connections, stop, report))
                attacker.start()
                time.sleep(0.5)
                latencies = visit(gateway, options.seconds)
                stop.set()
                answers = report.get(timeout=30)
                attacker.join()
                show("under attack", latencies)
                reached = sum(request.target.startswith("/attack") for request in upstream.requests)
                after = {key: value - before.get(key, 0) for key, value in verdicts(gateway).items()}
                print(f"  the attacker's answers {json.dumps(answers)}, verdicts of its tenant {json.dumps(after)}, {reached} reached the upstream")
                uninspected = after.get("bypassed", 0) or reached > answers.get("200", 0) + options.connections
                uncounted = after.get("error", 0) < answers.get("503", 0)
                failed = failed or latencies[-1] > options.limit or uninspected or uncounted
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
