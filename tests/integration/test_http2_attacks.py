"""Attacks on HTTP/2, each test named after its attack. The attacker is disconnected, or gets nothing from it, within the time that the
test states; meanwhile the gateway's memory grows by at most 16 MiB besides the headers that it holds, and another client waits at most
250 ms for its answers (the 99th of 100)."""
import contextlib
import socket
import struct
import threading
import time

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.polling import poll
from harness.http2 import (CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING, PRIORITY, PROTOCOL_ERROR, REFUSED_STREAM,
                           RST_STREAM, SETTINGS, WINDOW_UPDATE, Client, Frames, frame)
from harness.upstream import Upstream

SECURE = [{"name": "shop.test", "tls": {"self_signed": True}}]
MIB = 1 << 20
QUICK = {"timeouts": {"request_header": "2s", "request_body_idle": "2s", "idle": "60s"}, "workers": 1}


@pytest.fixture(scope="module")
def upstream():
    def handler(connection, request):
        if request.target.startswith("/bytes/"):
            connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {int(request.target[7:])}\r\n\r\n")
            left = int(request.target[7:])
            while left:
                left -= connection.socket.send(b"x" * min(left, 65536))
        else:
            connection.respond(body="ok")
    with Upstream(handler, record=False) as server:
        yield server


@contextlib.contextmanager
def run_gateway(upstream):
    # An upstream that takes every connection and says nothing, at no cost for this process.
    hole = socket.socket()
    hole.bind(("127.0.0.1", 0))
    hole.listen(4096)
    services = {"web": {"sites": [{"site": "here", "endpoints": [upstream.address]}]},
                "hole": {"sites": [{"site": "here", "endpoints": ["127.0.0.1:%d" % hole.getsockname()[1]]}]}}
    routes = [{"match": {"path": "/hole"}, "service": "hole"}, {"match": {"path": "/"}, "service": "web"}]
    with hole, Gateway({"shop": tenant(hosts=SECURE, services=services, routes=routes)}, QUICK) as running:
        for _ in range(3):
            with Client(running) as client:
                for _ in range(50):
                    client.exchange()
        yield running


@pytest.fixture(scope="module")
def gateway(upstream):
    with run_gateway(upstream) as running:
        yield running


@pytest.fixture
def fresh_gateway(upstream):
    """Whose memory nobody has made grow before."""
    with run_gateway(upstream) as running:
        yield running


class Bystander:
    """Another client, of another address, that asks all the time and notes how long it waits."""

    def __init__(self, gateway):
        self.gateway, self.waits, self.stopped, self.failures = gateway, [], threading.Event(), []
        self.thread = threading.Thread(target=self._ask, daemon=True)
        self.thread.start()

    def _ask(self):
        try:
            with self.gateway.connect(tls=True, server_name="shop.test", source="127.0.0.2") as connection:
                while not self.stopped.is_set():
                    began = time.monotonic()
                    assert connection.exchange(request_bytes()).status == 200
                    self.waits.append(time.monotonic() - began)
                    self.stopped.wait(0.01)
        except BaseException as error:  # noqa: BLE001 — told by finish()
            self.failures.append(error)

    def finish(self):
        end = time.monotonic() + 10
        while len(self.waits) < 100 and not self.failures and time.monotonic() < end:
            time.sleep(0.01)  # a short attack has consequences, or it has none
        self.stopped.set()
        self.thread.join(20)
        assert not self.failures, self.failures
        assert len(self.waits) >= 100
        return sorted(self.waits)[int(len(self.waits) * 0.99)]


@contextlib.contextmanager
def watched(gateway, is_sanitized, headers=0):
    """What holds during every attack; `headers`: bytes that the attacker's held headers account for."""
    alone = Bystander(gateway).finish()  # on a machine that others use, even this takes its time
    before = gateway.memory_bytes()
    gateway.reset_peak_memory()
    bystander = Bystander(gateway)
    try:
        yield
    finally:
        wait = bystander.finish()
    grown = gateway.peak_memory_bytes() - before
    print(f"another client's p99: {wait * 1000:.1f} ms, alone {alone * 1000:.1f} ms; memory: {grown / MIB:+.1f} MiB")  # pytest -rP
    if not is_sanitized:
        assert wait < max(0.25, 5 * alone), f"another client waits {wait * 1000:.0f} ms, and {alone * 1000:.0f} ms when alone"
        assert grown <= 16 * MIB + headers, f"the gateway has grown by {grown / MIB:.1f} MiB"


def flood(attacker, make, bound, batch=64, pause=0.0):
    """Sends what `make(index)` returns until the gateway ends the connection, at most for `bound` seconds; returns how many."""
    began, count = time.monotonic(), 0
    while time.monotonic() - began < bound:
        if not attacker.try_send(b"".join(make(count + index) for index in range(batch))):
            break
        count += batch
        if not attacker.poll(pause):
            break
    attacker.wait_end(max(0.1, bound - (time.monotonic() - began)))
    return count


def abused(gateway, reason, count=1):
    gateway.wait_metric(lambda value: value >= count, "gatehouse_http2_abuse_total", reason=reason)


@pytest.fixture
def figures(gateway):
    return lambda reason: gateway.metric("gatehouse_http2_abuse_total", reason=reason)


def test_rapid_reset(gateway, is_sanitized, figures):
    """CVE-2023-44487: disconnected after at most some hundred requests, within 10 s."""
    before, requests_before = figures("resets"), gateway.metric("gatehouse_requests_total")
    with watched(gateway, is_sanitized), Frames(gateway) as attacker:
        def pair(index):
            stream = 2 * index + 1
            return frame(HEADERS, END_HEADERS | END_STREAM, stream, attacker.head("/hole")) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
        assert flood(attacker, pair, 10) < 100_000
        assert attacker.goaway_error() in (ENHANCE_YOUR_CALM, None)
    assert gateway.metric("gatehouse_requests_total") - requests_before < 600
    abused(gateway, "resets", before + 1)


@pytest.mark.parametrize("trigger", ["zero_window_update", "window_overflow", "length_mismatch", "malformed_head"])
def test_made_you_reset(gateway, is_sanitized, figures, trigger):
    """CVE-2025-8671: resets that the client makes us send count like its own; disconnected within 10 s."""
    before = figures("own_resets")
    with watched(gateway, is_sanitized), Frames(gateway) as attacker:
        def provoke(index):
            stream = 2 * index + 1
            extra = [("content-length", "5")] if trigger == "length_mismatch" else [("Upper", "x")] if trigger == "malformed_head" else []
            opened = frame(HEADERS, END_HEADERS, stream, attacker.head("/hole", "POST", extra=extra))
            if trigger == "zero_window_update":
                return opened + frame(WINDOW_UPDATE, 0, stream, bytes(4))
            if trigger == "window_overflow":
                return opened + frame(WINDOW_UPDATE, 0, stream, b"\x7f\xff\xff\xff")
            if trigger == "length_mismatch":
                return opened + frame(DATA, END_STREAM, stream, b"123456")
            return opened
        flood(attacker, provoke, 10, batch=16, pause=0.02)
        if attacker.goaway_error() == PROTOCOL_ERROR:  # nghttp2 ends the whole connection for it
            assert trigger == "zero_window_update"
            return
    abused(gateway, "own_resets", before + 1)


@pytest.mark.parametrize("size", [16384, 1, 0])
def test_continuation_flood(gateway, is_sanitized, figures, size):
    """CVE-2024-27316: a header block without end costs neither memory nor time; disconnected after 16 frames, or by what they hold."""
    before = figures("continuations") + figures("header_list")
    with watched(gateway, is_sanitized), Frames(gateway) as attacker:
        attacker.send(frame(HEADERS, END_STREAM, 1, attacker.head()))
        field = b"\x00\x01a\x64" + b"v" * 100  # literal without indexing
        junk = (field * 200)[:size // len(field) * len(field)] if size > 1 else bytes(size)
        assert flood(attacker, lambda _: frame(CONTINUATION, 0, 1, junk), 5, batch=4) < 2000
    poll(lambda: figures("continuations") + figures("header_list") > before, "the abuse to be counted")


def test_hpack_bomb(gateway, is_sanitized, figures):
    """CVE-2016-6581: a kilobyte of references to a table's entry of 4000 bytes decodes to megabytes; refused before."""
    before = figures("header_list")
    with watched(gateway, is_sanitized), Frames(gateway) as attacker:
        entry = b"\x40\x01a" + b"\x7f\xa1\x1e" + b"b" * 4000  # literal with indexing, 4000 bytes
        attacker.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, attacker.head("/") + entry))
        for index in range(1, 200):
            if not attacker.try_send(frame(HEADERS, END_HEADERS | END_STREAM, 2 * index + 1, attacker.head("/") + b"\xbe" * 16000)):
                break
            if not attacker.poll(0.01):
                break
        attacker.wait_end(5)
        assert attacker.goaway_error() == ENHANCE_YOUR_CALM
    abused(gateway, "header_list", before + 1)


def test_large_header_lists_are_refused_politely(gateway):
    with Client(gateway) as client:
        assert client.exchange(headers=[("x-large", "y" * 16000) for _ in range(5)]).status == 431
        assert client.exchange(headers=[(f"x-{index}", "y") for index in range(150)]).status == 431
        assert client.exchange("/" + "y" * 20000).status == 414
        assert client.exchange().status == 200


@pytest.mark.parametrize("name, make", [
    ("settings", lambda index: frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 100))),
    ("pings", lambda index: frame(PING, 0, 0, bytes(8))),
    ("priorities", lambda index: frame(PRIORITY, 0, 2 * index + 1, bytes(5))),
    ("window_updates", lambda index: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1))),
    ("unknown_frames", lambda index: frame(0xee, 0, 0, b"?")),
], ids=lambda value: value if isinstance(value, str) else "")
def test_control_frame_floods(gateway, is_sanitized, figures, name, make):
    """CVE-2019-9515, -9512, -9513: SETTINGS, PING, PRIORITY, WINDOW_UPDATE and what has no meaning; disconnected within 10 s."""
    before = figures(name)
    with watched(gateway, is_sanitized), Frames(gateway) as attacker:
        flood(attacker, make, 10)
        assert attacker.goaway_error() in (ENHANCE_YOUR_CALM, None)
    abused(gateway, name, before + 1)


def test_ping_flood_that_reads_nothing(gateway, is_sanitized):
    """The acknowledgements that nobody reads do not pile up."""
    with watched(gateway, is_sanitized), Frames(gateway, receive_buffer=4096) as attacker:
        began = time.monotonic()
        while attacker.try_send(frame(PING, 0, 0, bytes(8)) * 1000):
            assert time.monotonic() - began < 10


def test_empty_data_flood(gateway, is_sanitized, figures):
    """CVE-2019-9518: empty DATA frames; disconnected within 10 s."""
    before = figures("empty_frames")
    with watched(gateway, is_sanitized), Frames(gateway) as attacker:
        attacker.send(frame(HEADERS, END_HEADERS, 1, attacker.head("/", "POST")))
        flood(attacker, lambda _: frame(DATA, 0, 1, b""), 10)
        assert attacker.goaway_error() in (ENHANCE_YOUR_CALM, None)
    abused(gateway, "empty_frames", before + 1)


def test_zero_window_stall(gateway, is_sanitized, figures):
    """CVE-2019-9517: 100 answers wait for a window that is never opened: disconnected within 2 s and some, holding next to nothing."""
    before = figures("stalled")
    with watched(gateway, is_sanitized), Frames(gateway, settings=[(4, 0)]) as attacker:
        for stream in range(1, 201, 2):
            attacker.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, attacker.head("/bytes/10000000")))
        assert attacker.wait_end(8) > 1
        assert attacker.goaway_error() == ENHANCE_YOUR_CALM
    abused(gateway, "stalled", before + 1)
    gateway.wait_metric(lambda value: value <= 2, "gatehouse_requests_in_flight")


def test_zero_window_stall_beside_an_active_stream(gateway, is_sanitized):
    """The late stream alone is ended."""
    with watched(gateway, is_sanitized), Client(gateway, consume=False) as client:
        stalled = client.request("/bytes/1000000")
        end = time.monotonic() + 10
        while not client.answers[stalled].done:
            assert time.monotonic() < end
            other = client.request("/")
            client.h2.increment_flow_control_window(100)
            client.wait(lambda: client.answers[stalled].done or client.answers[other].done)  # noqa: B023
            time.sleep(0.05)
        assert client.answers[stalled].reset is not None


def test_slow_headers(gateway, is_sanitized, figures):
    """A header block that comes byte by byte: disconnected after timeouts.request_header."""
    before = figures("slow_headers")
    with watched(gateway, is_sanitized), Frames(gateway) as attacker:
        block = frame(HEADERS, END_HEADERS | END_STREAM, 1, attacker.head("/" + "x" * 200))
        began = time.monotonic()
        for byte in block:
            if not attacker.try_send(bytes([byte])) or not attacker.poll(0.1):
                break
        attacker.wait_end(5)
        assert 1.5 < time.monotonic() - began < 6
    abused(gateway, "slow_headers", before + 1)


def test_slow_preface(gateway, is_sanitized):
    with watched(gateway, is_sanitized), Frames(gateway, preface=False) as attacker:
        attacker.send(b"PRI * HTTP/2.0\r\n")
        assert attacker.wait_end(6) > 1.5


def test_slow_body(gateway, is_sanitized):
    """A body that stops: 408 after timeouts.request_body_idle, and the connection serves on."""
    with watched(gateway, is_sanitized), Client(gateway) as client:
        number = client.request("/", method="POST", end=False)
        client.send(number, b"some")
        began = time.monotonic()
        client.wait(lambda: client.answers[number].ended, 8)
        assert client.answers[number].status == 408 and time.monotonic() - began > 1.5
        assert client.exchange().status == 200


def test_slow_body_byte_by_byte(gateway, is_sanitized):
    """Below limits.min_rate: ended once its 10 s of grace are used up, though no two bytes are far apart."""
    with watched(gateway, is_sanitized), Frames(gateway) as attacker:
        attacker.send(frame(HEADERS, END_HEADERS, 1, attacker.head("/", "POST")))
        began = time.monotonic()
        while not any(kind in (HEADERS, RST_STREAM) for kind, *_ in attacker.frames):
            assert time.monotonic() - began < 20
            attacker.send(frame(DATA, 0, 1, b"x"))
            assert attacker.poll(0.3)
        assert time.monotonic() - began > 8


def test_slow_reader(gateway, is_sanitized, figures):
    """Windows wide open, and a socket that nobody reads: disconnected within 2 s and some."""
    before = figures("slow_reader")
    with watched(gateway, is_sanitized), Frames(gateway, settings=[(4, 0x7FFFFFFF)], receive_buffer=4096) as attacker:
        attacker.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFF0000 - 65535)))
        for stream in range(1, 41, 2):
            attacker.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, attacker.head("/bytes/100000000")))
        gateway.wait_metric(lambda value: value > before, "gatehouse_http2_abuse_total", reason="slow_reader")


def test_many_streams(gateway, is_sanitized):
    """More streams than limits.h2_streams are refused one by one; those that are open cost little."""
    with watched(gateway, is_sanitized), Frames(gateway) as attacker:
        for stream in range(1, 221, 2):
            attacker.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, attacker.head("/hole")))
        attacker.wait(lambda: len(attacker.resets()) >= 10)
        assert set(attacker.resets().values()) == {REFUSED_STREAM} and set(attacker.resets()) == set(range(201, 221, 2))


@pytest.mark.parametrize("fields", [0, 20])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_many_connections_with_many_streams(fresh_gateway, is_sanitized, method, fields):
    """20 connections that hold 100 requests each, answered by nobody or sent in part."""
    extra = [(f"x-field-{index}", "v" * 30) for index in range(fields)]
    if method == "POST":
        extra.append(("content-length", "100000"))
    size = sum(len(name) + len(value) + 32 for name, value in extra)  # RFC 9113 section 6.5.2
    gateway = fresh_gateway
    streams = range(1, 201, 2)
    attackers = []
    try:
        with watched(gateway, is_sanitized, headers=20 * 100 * size):
            for _ in range(20):
                attacker = Frames(gateway)
                attackers.append(attacker)
                flags = END_HEADERS | (END_STREAM if method == "GET" else 0)
                attacker.send(b"".join(frame(HEADERS, flags, stream, attacker.head("/hole", method, extra=extra)) for stream in streams))
                if method == "POST":
                    attacker.try_send(b"".join(frame(DATA, 0, stream, b"x" * 600) for stream in streams))
            gateway.wait_metric(lambda value: value >= 2000, "gatehouse_requests_in_flight")
    finally:
        for attacker in attackers:
            attacker.close()
    gateway.wait_metric(0, "gatehouse_requests_in_flight")


def test_the_gateway_serves_on(gateway):
    with Client(gateway) as client:
        assert client.exchange().status == 200
    gateway.wait_metric(lambda value: value == 0, "gatehouse_requests_in_flight")
    gateway.wait_metric(lambda value: value < 1000, "gatehouse_relay_buffer_bytes")
