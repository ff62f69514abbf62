"""Time-outs: each phase has its own, and each ends as documented. Short ones are configured; nothing here sleeps."""
import contextlib
import socket
import threading
import time

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.http1 import Closed, Truncated
from harness.polling import poll
from harness.upstream import Unreachable, Upstream, echo

TIMEOUTS = {"tls_handshake": "400ms", "request_header": "400ms", "request_body_idle": "400ms", "idle": "700ms", "upstream_connect": "300ms",
            "response": "500ms"}


def by_path(connection, request):
    if request.target.endswith("/silent"):
        connection.upstream.released.wait(20)
    elif request.target == "/half":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        connection.upstream.released.wait(20)
    elif request.target == "/half-head":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-")
        connection.upstream.released.wait(20)
    elif request.target.startswith("/slow"):
        # Each piece comes in time, all of them together do not.
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":
            connection.send(bytes([byte]))
            connection.upstream.released.wait(0.03)
    else:
        echo(connection, request)


@pytest.fixture(scope="module")
def server():
    with Upstream(by_path) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(server):
    with Unreachable() as unreachable:
        hosts = [{"name": "shop.test", "tls": "off"}, {"name": "secure.test", "tls": {"self_signed": True}}]
        services = {"web": {"sites": [{"site": "here", "endpoints": [server.address]}]},
                    "far": {"sites": [{"site": "here", "endpoints": [unreachable.address]}]}}
        routes = [{"match": {"path": "/far"}, "service": "far"},
                  {"match": {"path": "/"}, "service": "web"}]
        with Gateway({"shop": tenant(hosts=hosts, services=services, routes=routes)}, {"timeouts": TIMEOUTS}) as running:
            yield running


def took(begin):
    return time.monotonic() - begin


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: sh", b"G", b"GET / HTTP/1.1\r\nHost: shop.test\r\n"])
def test_request_head(gateway, sent):
    begin = time.monotonic()
    with gateway.connect() as connection:
        connection.send(sent)
        response = connection.response()
        assert response.status == 408 and response.closes
        connection.expect_closed()
    assert took(begin) >= 0.35


def test_request_head_in_drops(gateway):
    """It is the whole head that has this time, however busy the client is."""
    begin = time.monotonic()
    with gateway.connect() as connection:
        stop = threading.Event()

        def drip():
            for byte in b"GET / HTTP/1.1\r\nHost: shop.test\r\nX: " + b"a" * 10000:
                if stop.wait(0.02):
                    return
                connection.try_send(bytes([byte]))
        thread = threading.Thread(target=drip)
        thread.start()
        outcome = connection.outcome()
        stop.set()
        thread.join()
    assert isinstance(outcome, (Closed, Truncated)) or outcome.status == 408
    assert took(begin) < 10


def test_second_request_head(gateway):
    with gateway.connect() as connection:
        assert connection.exchange(request_bytes()).status == 200
        connection.send(b"GET /")
        assert connection.response().status == 408
        connection.expect_closed()


@pytest.mark.parametrize("requests", [0, 1])
def test_idle_connection_closes_silently(gateway, requests):
    with gateway.connect() as connection:
        for _ in range(requests):
            assert connection.exchange(request_bytes()).status == 200
        begin = time.monotonic()
        connection.expect_closed()
        assert took(begin) < 10


@pytest.mark.parametrize("sent", [b"", b"\x16", b"\x16\x03\x01\x00\xc8\x01\x00"])
def test_tls_handshake(gateway, sent):
    with gateway.connect(port=gateway.https_port) as connection:
        connection.send(sent)
        connection.socket.settimeout(10)
        try:
            connection.buffer.take_all()  # an alert is allowed
        except Truncated:
            pass


@pytest.mark.parametrize("headers, part", [([("Content-Length", "10")], b"hello"), ([("Content-Length", "10")], b""),
                                           ([("Transfer-Encoding", "chunked")], b"5\r\nhel"), ([("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n")])
def test_request_body(gateway, server, headers, part):
    server.forget()
    with gateway.connect() as connection:
        connection.send(request_bytes("POST", headers=headers) + part)
        response = connection.response()
        assert response.status == 408
        connection.expect_closed()
    assert server.requests == []


def test_connecting_to_an_upstream(gateway):
    begin = time.monotonic()
    assert gateway.request("/far").status == 504
    assert 0.25 <= took(begin) < 8


@pytest.mark.parametrize("target", ["/silent", "/half-head"])
def test_first_byte_of_the_response(gateway, target):
    begin = time.monotonic()
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes(target=target))
        assert response.status == 504
        assert took(begin) >= 0.45
        if not response.closes:
            assert connection.exchange(request_bytes()).status == 200


def test_between_bytes_of_the_response(gateway):
    with gateway.connect() as connection:
        connection.send(request_bytes(target="/half"))
        outcome = connection.outcome()
        assert isinstance(outcome, (Truncated, Closed))


def test_a_slow_but_steady_response_is_let_be(gateway):
    begin = time.monotonic()
    assert gateway.request("/slow").body == b"ok"
    assert took(begin) > 0.6


def test_timeouts_are_counted(gateway):
    before = gateway.metric("gatehouse_local_replies_total", tenant="shop", reason="timeout")
    gateway.request("/silent")
    gateway.wait_metric(before + 1, "gatehouse_local_replies_total", tenant="shop", reason="timeout")


@pytest.mark.parametrize("platform, route, status", [("200ms", "20s", 200), ("20s", "200ms", 504)])
def test_the_time_of_a_route_replaces_the_platforms(platform, route, status):
    def late(connection, request):
        connection.upstream.released.wait(0.8)
        connection.respond(body="late")

    with Upstream(late) as upstream:
        routes = [{"match": {"path": "/other"}, "service": "web", "timeout": route}, {"match": {"path": "/"}, "service": "web"}]
        with Gateway({"shop": tenant(upstream=upstream, routes=routes)}, {"timeouts": {"response": platform}}) as gateway:
            assert gateway.request("/other").status == status
            assert gateway.request("/").status == (504 if status == 200 else 200)


def test_slow_peers_end_after_their_grace():
    """min_rate: a byte now and then holds no connection, in a head, in a body or when reading the answer."""
    payload = b"x" * (64 << 20)

    def handler(connection, request):
        connection.respond(body=payload if request.target == "/large" else b"ok")

    with Upstream(handler, record=False) as upstream, \
            Gateway({"shop": tenant(upstream=upstream)}, {"limits": {"body_bytes": "100MiB", "min_rate": "10KiB/s"}}) as gateway:
        stop = threading.Event()
        ended = {}
        begin = time.monotonic()

        def drip(name, connection, start, send):
            connection.send(start)
            try:
                while not stop.wait(0.2):
                    if send:
                        connection.send(b"x")
                    else:
                        connection.socket.settimeout(15)
                        if not connection.socket.recv(200):
                            break
            except OSError:
                pass
            ended[name] = took(begin)

        body = gateway.connect()
        chunks = gateway.connect()
        reader = gateway.connect(receive_buffer=4096)
        threads = [
            threading.Thread(target=drip, args=("body", body, request_bytes("POST", headers=[("Content-Length", "1000000")]), True)),
            threading.Thread(target=drip, args=("chunks", chunks, request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + b"fffff\r\n", True)),
            threading.Thread(target=drip, args=("reader", reader, request_bytes(target="/large"), False)),
        ]
        for thread in threads:
            thread.start()
        try:
            gateway.wait_metric(3, "gatehouse_connections")
            poll(lambda: gateway.metric("gatehouse_connections") == 0, "the slow connections to be closed", deadline=30)
        finally:
            stop.set()
            for connection in (body, chunks, reader):
                connection.close()
            for thread in threads:
                thread.join()
        assert len(ended) == 3 and min(ended.values()) > 9, f"the grace is 10 s: {ended}"


def test_what_was_sent_before_is_not_held_against_an_upstream():
    """The least rate of an answer begins with it: what the kernel still holds of the upload is older."""
    def handler(connection, request):
        connection.send(b"HTTP/1.")
        connection.upstream.released.wait(7)
        connection.read_body(request, request.length)
        connection.send(b"1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with Upstream(handler, record=False, early=True) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway:
        assert gateway.request(method="POST", body=b"u" * 8_000_000, timeout=40).status == 200


def test_what_was_answered_before_is_not_held_against_a_client():
    """A client that takes a first answer steadily is not late with the second, which stands behind it."""
    sizes = {"/first": 250_000, "/second": 3_000_000}

    def handler(connection, request):
        connection.respond(body=b"x" * sizes[request.target])

    with Upstream(handler, record=False) as upstream, \
            Gateway({"shop": tenant(upstream=upstream)}, {"timeouts": {"request_body_idle": "1s"}}) as gateway, \
            gateway.connect(receive_buffer=4096) as connection:
        connection.send(b"".join(request_bytes(target=target) for target in sizes))
        got = 0
        begin = time.monotonic()
        while got < sum(sizes.values()):
            steady = took(begin) < 4
            piece = connection.socket.recv(2_000 if steady else 65_536)
            assert piece, f"cut after {got} bytes and {took(begin):.1f} s"
            got += len(piece)
            if steady:
                time.sleep(0.02)


def late_answer(after, interim=b""):
    def answer(connection, request):
        connection.send(interim)
        connection.upstream.released.wait(after)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nla")
        connection.upstream.released.wait(after)
        connection.send(b"te")
    return answer


@pytest.mark.parametrize("interim, waf", [
    (b"HTTP/1.1 102 Processing\r\n\r\n", {"mode": "off"}), (b"", {"mode": "block", "body": {"response": True}}),
], ids=["interim", "inspected"])
def test_the_time_for_an_answer_is_the_same_however_it_begins(interim, waf):
    """Beyond the ten seconds of grace after which a slow peer ends."""
    with Upstream(late_answer(11, interim)) as upstream, Gateway({"shop": tenant(upstream=upstream, waf=waf)}) as gateway:
        response = gateway.request(timeout=40)
        assert (response.status, response.body) == (200, b"late")


@pytest.mark.parametrize("waf", ["off", "block"])
def test_the_time_of_a_route_is_for_the_answer_not_for_the_body(tmp_path, waf):
    """An upstream that takes a long body slowly, and answers at once."""
    def slow_reader(connection):
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        got = b""
        while b"\r\n\r\n" not in got:
            got += connection.socket.recv(65536)
        left = size - len(got.partition(b"\r\n\r\n")[2])
        while left > 0:
            left -= len(connection.socket.recv(65536))
            connection.upstream.released.wait(0.012)
        connection.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    size = 8 << 20
    rules = tmp_path / "trivial.conf"
    rules.write_text('SecAction "id:1,phase:1,pass,nolog"')
    routes = [{"match": {"path": "/"}, "service": "web", "timeout": "1s"}]
    with Upstream(on_connect=slow_reader) as upstream, \
            Gateway({"shop": tenant(upstream=upstream, routes=routes, waf={"mode": waf, "body": {"limit": "9MiB"}})},
                    {"waf": {"rules": [str(rules)], "time_budget": "10s"}}, files=[str(tmp_path)]) as gateway:
        response = gateway.request(method="POST", headers=[("Content-Type", "application/octet-stream")], body=b"x" * size, timeout=60)
        assert response.status == 200, response


def part_of_an_answer(begin):
    """An upstream that takes nothing of a body, sends `begin`, and falls silent."""
    def handler(connection, request):
        connection.send(begin)
        connection.upstream.released.wait(30)
    return handler


@pytest.mark.parametrize("begin", [b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"],
                         ids=["interim", "half"])
@pytest.mark.parametrize("piece", [b"x", b"x" * 1_000_000], ids=["drops", "flood"])
def test_a_silent_upstream_ends_whatever_its_client_does(begin, piece):
    """While the client goes on sending, slowly or more than is taken. Before an answer begins, a request that is still being
    sent is waited for."""
    is_waited_for = len(piece) == 1 and b" 103 " in begin
    with Upstream(part_of_an_answer(begin), early=True, socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)]) as upstream, \
            Gateway({"shop": tenant(upstream=upstream)}, {"timeouts": {"response": "1s"}, "limits": {"body_bytes": "1GiB"}}) as gateway, \
            gateway.connect() as connection:
        connection.send(request_bytes("POST", headers=[("Content-Length", "1000000000")]))
        begun = time.monotonic()
        connection.socket.settimeout(0.05)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while took(begun) < (3 if is_waited_for else 15):
                with contextlib.suppress(TimeoutError):
                    connection.socket.send(piece)
                time.sleep(0.05)
        if is_waited_for:
            assert gateway.metric("gatehouse_requests_in_flight", tenant="shop") == 1
        else:
            assert 0.9 < took(begun) < 8
            gateway.wait_metric(0, "gatehouse_requests_in_flight", tenant="shop")


def test_interim_answers_wait_for_no_client_for_ever():
    def endless(connection, request):
        for _ in range(15):
            connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 50_000 + b"\r\n\r\n")
        connection.upstream.released.wait(30)

    with Upstream(endless) as upstream, Gateway({"shop": tenant(upstream=upstream)}, {"timeouts": {"response": "1s", "request_body_idle": "1s"}}) as gateway, \
            gateway.connect(receive_buffer=4096) as connection:
        connection.send(request_bytes())
        upstream.wait_requests(1)
        gateway.wait_metric(0, "gatehouse_requests_in_flight", tenant="shop")
        gateway.wait_metric(0, "gatehouse_connections")


def test_a_conversation_may_rest(upstream):
    """An upload that stays open and silent beside an answer that goes on for longer than a slow peer has grace."""
    def events(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(17):
            connection.send(b"5\r\nevent\r\n")
            connection.upstream.released.wait(1)
        connection.send(b"0\r\n\r\n")

    with Upstream(events, early=True) as talking, Gateway({"shop": tenant(upstream=talking)}) as gateway, gateway.connect(timeout=40) as connection:
        connection.send(request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + b"3\r\nabc\r\n")
        assert connection.response().body == b"event" * 17
