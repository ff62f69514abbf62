"""Requests mutated at random, the same ones in each run: whatever they have become, the upstream's strict reader and the
client's must each find one meaning in what the gateway sends them, and the gateway must live on."""
import os
import random
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import legal  # noqa: E402
import run  # noqa: E402
from harness.gateway import Gateway, tenant  # noqa: E402
from harness.http1 import Closed, Truncated  # noqa: E402
from harness.upstream import Upstream  # noqa: E402

SEEDS = sorted(message.data for message in run.REQUESTS + legal.CASES if len(message.data) < 1000 and message.method == "GET" and b"HEAD" not in message.data)
PIECES = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b"\0", b"\x0b", b"\x80", b"\xff", b",", b";", b"0", b"5", b"Content-Length: 5\r\n", b"Host: a\r\n",
          b"Transfer-Encoding: chunked\r\n", b"chunked", b"HTTP/1.1", b"HTTP/1.0", b"/", b"..", b"%", b"%2e", b"#", b"?", b"\"", b"0\r\n\r\n", b"ffffffffffffffff",
          b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"A" * 300, b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"]


def mutated(generator):
    data = bytearray(generator.choice(SEEDS))
    for _ in range(generator.randrange(1, 5)):
        at = generator.randrange(len(data) + 1)
        kind = generator.randrange(5)
        if kind == 0:
            data[at:at] = generator.choice(PIECES)
        elif kind == 1:
            del data[at:at + generator.randrange(1, 4)]
        elif kind == 2 and at < len(data):
            data[at] = generator.randrange(256)
        elif kind == 3:
            data[at:at + 2] = generator.choice(PIECES)
        else:
            length = generator.randrange(1, 40)
            data[at:at] = data[at:at + length]
    return bytes(data)


@pytest.fixture(scope="module")
def server():
    with Upstream() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(server):
    tenants = {"shop": tenant(upstream=server), "anybody": tenant("anybody", server, hosts=[{"name": "*", "tls": "off"}], waf={"mode": "detect"})}
    with Gateway(tenants, {"workers": 1}) as running:
        yield running


@pytest.mark.parametrize("seed", range(20))
def test_one_meaning(gateway, server, seed):
    generator = random.Random(seed)
    for _ in range(40):
        data = mutated(generator)
        with gateway.connect() as connection:
            connection.try_send(data)
            connection.finish_sending()
            # A strict reader of answers; one to HEAD would be read wrongly, but no mutation makes one.
            while not isinstance(connection.outcome(), (Closed, Truncated)):
                pass
        assert server.violations == [], data
    assert gateway.request("/alive").status == 200
