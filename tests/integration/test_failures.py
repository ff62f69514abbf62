"""Who failed and how: answers that are cut, endpoints that fail and tunnels that end, in the access log and in metrics."""
import base64
import hashlib
import signal
import ssl
import threading

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.http1 import Closed, Truncated
from harness.http2 import CANCEL, Client
from harness.polling import poll
from harness.upstream import Unreachable, Upstream, refused_address

HOSTS = [{"name": "shop.test", "tls": "off"}, {"name": "secure.test", "tls": {"self_signed": True}}]
VERSIONS = ["1.1", "2"]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nabc"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"


def switch(connection, request):
    key = request.header("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    connection.send(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\nabc")


def by_path(connection, request):
    """What the path asks for; what follows the first three bytes waits until the client has them."""
    server, name = connection.upstream, request.target.split("/")[1]
    if name == "wrong":
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n")
    elif name.startswith("tunnel"):
        switch(connection, request)
    elif name in ("fin", "reset", "hang", "hold"):
        connection.send(HEAD)
    elif name in ("until-close", "until-reset"):
        connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
    elif name in ("bad-chunk", "cut-chunk", "whole"):
        connection.send(CHUNKED)
    if name not in HEADLESS:
        server.go.wait(20)
    if name == "bad-chunk":
        connection.send(b"zz\r\n")
    elif name == "whole":
        connection.send(b"0\r\n\r\n")
    elif name in ("reset", "until-reset", "tunnel-reset", "early-reset"):
        connection.reset()
    elif name in ("hang", "hold", "silent", "tunnel-hold"):
        server.released.wait(20)
    elif name == "tunnel-echo":
        connection.wait_closed()
    elif name == "half-head":
        connection.send(b"HTTP/1.1 200 OK\r\nContent-")
        server.released.wait(20)
    elif name in HEADLESS:
        connection.send(HEADLESS[name])
    connection.close()


HEADLESS = {"wrong": b"", "silent": b"", "half-head": b"", "early-reset": b"", "early-fin": b"", "garbage": b"SSH-2.0-OpenSSH_9.2\r\n",
            "ambiguous": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "large": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
            "head": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", "204": b"HTTP/1.1 204 No Content\r\n\r\n",
            "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", "own": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"}


@pytest.fixture(scope="module")
def server():
    with Upstream(by_path) as running:
        running.go = threading.Event()
        yield running


@pytest.fixture(scope="module")
def tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("internal.test"))
    return context


@pytest.fixture(scope="module")
def secure_server(tls):
    with Upstream(tls=tls) as running:
        yield running


@pytest.fixture(scope="module")
def abrupt_server(tls, server):
    """Ends its connections without ending TLS."""
    with Upstream(by_path, tls=tls) as running:
        running.go = server.go
        yield running


@pytest.fixture(scope="module")
def gateway(server, secure_server, abrupt_server, authority):
    holder, refused = refused_address()

    def https(upstream, name="internal.test"):
        return {"protocol": "https", "tls": {"ca_file": authority.certificate, "server_name": name}, "sites": [{"site": "here", "endpoints": [upstream.address]}]}

    def speak_first(connection):
        connection.send(b"220 mail.test ESMTP\r\n")
        connection.wait_closed()
    with Unreachable() as unreachable, holder, Upstream(on_connect=speak_first) as mail:
        services = {"web": {"sites": [{"site": "here", "endpoints": [server.address]}]},
                    "down": {"sites": [{"site": "here", "endpoints": [refused]}]},
                    "far": {"sites": [{"site": "here", "endpoints": [unreachable.address]}]},
                    "two": {"balance": "round_robin", "sites": [{"site": "here", "endpoints": [refused, secure_server.address]}], **{
                        key: value for key, value in https(secure_server).items() if key != "sites"}},
                    "forged": https(secure_server, "other.test"), "plain": https(mail)}
        routes = [{"match": {"path": f"/{name}"}, "service": name} for name in services if name != "web"]
        routes += [{"match": {"path": f"/{name}"}, "service": "web", "timeout": "500ms"} for name in ("hang", "silent", "half-head")]
        routes.append({"match": {"path": "/"}, "service": "web"})
        services["abrupt"] = https(abrupt_server)
        routes[:0] = [{"match": {"path": f"/{name}/abrupt"}, "service": "abrupt"} for name in ("fin", "reset", "until-close", "tunnel-close", "tunnel-reset")]
        inspected = tenant("waf", server, hosts=[{"name": "waf.test", "tls": "off"}], waf={"mode": "block", "body": {"response": True}},
                           routes=[{"match": {"path": "/hang"}, "service": "web", "timeout": "500ms"}, {"match": {"path": "/"}, "service": "web"}])
        with Gateway({"shop": tenant(hosts=HOSTS, services=services, routes=routes), "waf": inspected},
                     {"timeouts": {"upstream_connect": "300ms", "tunnel_idle": "1s"}}, files=[authority.folder]) as running:
            yield running


class Asked:
    """A request over either version, with the first three bytes of its answer."""

    def __init__(self, gateway, version, target, *, method="GET", websocket=False):
        self.version, self.method = version, method
        if version == "2":
            self.client = Client(gateway, server_name="secure.test")
            options = {"method": "CONNECT", "pseudo": [(":protocol", "websocket")], "headers": [("sec-websocket-version", "13")], "end": False} if websocket else {
                "method": method}
            self.number = self.client.request(target, host="secure.test", **options)
            self.answer = self.client.answers[self.number]
        else:
            self.client = gateway.connect()
            headers = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                       ("Sec-WebSocket-Version", "13")] if websocket else []
            self.client.send(request_bytes(method, target, headers=headers))

    def begin(self):
        if self.version == "2":
            self.client.wait(lambda: bytes(self.answer.body) == b"abc")
        else:
            while b"abc" not in self.client.buffer.data:
                assert self.client.buffer.fill()
        return self

    def finish(self):
        """(status, whether the answer was whole)"""
        if self.version == "2":
            answer = self.client.answer(self.number)
            return answer.status, answer.ended
        outcome = self.client.outcome(self.method)
        return (None, False) if isinstance(outcome, (Closed, Truncated)) else (outcome.status, True)

    def wait_end(self):
        if self.version == "2":
            self.client.answer(self.number)
        else:
            try:
                self.client.buffer.take_all()
            except Truncated:
                pass

    def leave(self, how="reset"):
        if self.version == "1.1":
            getattr(self.client, how)()
        elif how == "reset":
            self.client.h2.reset_stream(self.number, CANCEL)
            self.client.flush()
        else:
            self.client.connection.reset()

    def end(self):
        """Ends the client's side of a tunnel."""
        if self.version == "2":
            self.client.h2.end_stream(self.number)
            self.client.flush()
        else:
            self.client.finish_sending()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.client.close()


def failure(record):
    return record.get("gatehouse.aborted"), record.get("gatehouse.upstream_error")


def record_of(gateway, version, path):
    return gateway.access_record(url__path=path, http__version=version)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name, cause, error", [
    ("fin", "upstream", "closed"), ("reset", "upstream", "reset"), ("bad-chunk", "upstream", "malformed"), ("cut-chunk", "upstream", "closed"),
    ("until-reset", "upstream", "reset"), ("hang", "timeout", "timeout"), ("fin/abrupt", "upstream", "closed"), ("reset/abrupt", "upstream", "reset"),
    ("until-close/abrupt", "upstream", "closed"),
])
def test_answers_that_the_upstream_cuts(gateway, server, version, name, cause, error):
    before = gateway.metrics()
    server.go.clear()
    with Asked(gateway, version, f"/{name}") as asked:
        asked.begin()
        server.go.set()
        assert asked.finish()[1] is False
    record = record_of(gateway, version, f"/{name}")
    assert record["http.response.status_code"] == 200 and record["http.response.body.bytes"] == 3
    assert failure(record) == (cause, error) and "gatehouse.reason" not in record
    labels = {"tenant": "shop", "service": record["labels.service"]}
    gateway.wait_metric(before.total("gatehouse_answers_cut_total", cause=cause, **labels) + 1, "gatehouse_answers_cut_total", cause=cause, **labels)
    gateway.wait_metric(before.total("gatehouse_upstream_errors_total", error=error, **labels) + 1, "gatehouse_upstream_errors_total", error=error, **labels)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_client_that_leaves_in_the_middle(gateway, server, version, how):
    before = gateway.metrics()
    server.go.set()
    path = f"/hold/{how}"
    with Asked(gateway, version, path) as asked:
        asked.begin().leave(how)
        record = record_of(gateway, version, path)
    assert record["http.response.status_code"] == 200 and failure(record) == ("client", None)
    gateway.wait_metric(before.total("gatehouse_answers_cut_total", cause="client") + 1, "gatehouse_answers_cut_total", cause="client")
    after = gateway.metrics()
    assert after.total("gatehouse_upstream_errors_total") == before.total("gatehouse_upstream_errors_total")
    assert after.total("gatehouse_answers_cut_total", cause="upstream") == before.total("gatehouse_answers_cut_total", cause="upstream")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_leaves_before_the_answer(gateway, server, version):
    before = gateway.metric("gatehouse_answers_cut_total")
    server.go.clear()
    with Asked(gateway, version, "/patient") as asked:
        poll(lambda: any(request.target == "/patient" for request in server.requests), "the request at the upstream")
        asked.leave()
        record = record_of(gateway, version, "/patient")
    server.forget()
    server.go.set()
    assert record["http.response.status_code"] == 499 and failure(record) == ("client", None) and record["gatehouse.upstream_ns"] > 0
    assert gateway.metric("gatehouse_answers_cut_total") == before


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name, method, status", [("head", "HEAD", 200), ("204", "GET", 204), ("304", "GET", 304), ("whole", "GET", 200), ("until-close", "GET", 200)])
def test_whole_answers_are_not_cut(gateway, server, version, name, method, status):
    server.go.set()
    before = gateway.metric("gatehouse_answers_cut_total")
    with Asked(gateway, version, f"/{name}", method=method) as asked:
        assert asked.finish() == (status, True)
    assert failure(record_of(gateway, version, f"/{name}")) == (None, None)
    assert gateway.metric("gatehouse_answers_cut_total") == before


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name, error, status", [
    ("garbage", "malformed", 502), ("ambiguous", "malformed", 502), ("large", "too_large", 502), ("early-reset", "reset", 502), ("early-fin", "closed", 502),
    ("down", "refused", 502), ("forged", "tls_verify", 502), ("plain", "tls", 502), ("far", "connect_timeout", 504), ("silent", "timeout", 504),
    ("half-head", "timeout", 504),
])
def test_why_an_endpoint_gave_no_answer(gateway, server, version, name, error, status):
    before = gateway.metrics()
    with Asked(gateway, version, f"/{name}") as asked:
        assert asked.finish() == (status, True)
    record = record_of(gateway, version, f"/{name}")
    assert failure(record) == (None, error) and record["gatehouse.reason"] == {502: "upstream", 504: "timeout"}[status]
    assert record["gatehouse.upstream_ns"] > 0
    labels = {"tenant": "shop", "error": error}
    gateway.wait_metric(before.total("gatehouse_upstream_errors_total", **labels) + 1, "gatehouse_upstream_errors_total", **labels)
    assert gateway.metric("gatehouse_answers_cut_total") == before.total("gatehouse_answers_cut_total")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name, service, at_least", [("silent", "web", 500_000_000), ("far", "far", 300_000_000)])
def test_the_time_of_an_endpoint_that_hangs(gateway, version, name, service, at_least):
    before = gateway.metrics().total("gatehouse_upstream_duration_seconds_count", service=service)
    path = f"/{name}/time"
    with Asked(gateway, version, path) as asked:
        assert asked.finish() == (504, True)
    record = record_of(gateway, version, path)
    turn = 20_000_000  # time-outs count from when the loop's turn began
    assert at_least - turn <= record["gatehouse.upstream_ns"] <= record["event.duration"]
    gateway.wait_metric(before + 1, "gatehouse_upstream_duration_seconds_count", service=service)


def test_an_answer_of_the_endpoints_own_is_no_failure(gateway):
    with Asked(gateway, "1.1", "/own") as asked:
        assert asked.finish() == (502, True)
    assert failure(record_of(gateway, "1.1", "/own")) == (None, None)


def test_what_was_bettered_by_another_endpoint_does_not_count(gateway):
    before = gateway.metric("gatehouse_upstream_errors_total")
    for number in range(4):
        assert gateway.request(f"/two/{number}").status == 200
        assert failure(gateway.access_record(url__path=f"/two/{number}")) == (None, None)
    assert gateway.metric("gatehouse_upstream_errors_total") == before


@pytest.mark.parametrize("name, status, error", [("fin", 502, "closed"), ("reset", 502, "reset"), ("bad-chunk", 502, "malformed"), ("hang", 504, "timeout")])
def test_answers_that_break_off_while_they_are_held_for_inspection(gateway, server, name, status, error):
    server.go.set()
    assert gateway.request(f"/{name}", host="waf.test").status == status
    assert failure(gateway.access_record(url__path=f"/{name}", url__domain="waf.test")) == (None, error)


def test_a_client_that_leaves_while_its_answer_is_held_for_inspection(gateway, server):
    server.go.set()
    server.forget()
    with gateway.connect() as client:
        client.send(request_bytes(target="/hold", host="waf.test"))
        server.wait_requests(1)
    record = gateway.access_record(url__path="/hold", url__domain="waf.test")
    assert record["http.response.status_code"] == 499 and failure(record) == ("client", None) and "gatehouse.reason" not in record


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name, expected", [
    ("tunnel-close", (None, None)), ("tunnel-echo", (None, None)), ("tunnel-reset", ("upstream", "reset")), ("tunnel-hold/idle", ("idle", None)),
    ("tunnel-hold/left", ("client", None)), ("tunnel-close/abrupt", (None, None)), ("tunnel-reset/abrupt", ("upstream", "reset")),
])
def test_how_tunnels_end(gateway, server, version, name, expected):
    before = gateway.metric("gatehouse_answers_cut_total")
    server.go.clear()
    with Asked(gateway, version, f"/{name}", websocket=True) as asked:
        asked.begin()
        server.go.set()
        if name == "tunnel-echo":
            asked.end()
        if name.endswith("left"):
            asked.leave()
        else:
            asked.wait_end()
    assert failure(record_of(gateway, version, f"/{name}")) == expected
    gateway.wait_metric(before + (expected[0] is not None), "gatehouse_answers_cut_total")


def test_a_websocket_handshake_that_is_wrong(gateway):
    with Asked(gateway, "2", "/wrong", websocket=True) as asked:
        assert asked.finish() == (None, False)
    record = record_of(gateway, "2", "/wrong")
    assert failure(record) == (None, "malformed") and record["gatehouse.reason"] == "upstream"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_end_of_the_drain(version):
    with Upstream(by_path) as server:
        server.go = threading.Event()
        gateway = Gateway({"shop": tenant(upstream=server, hosts=HOSTS)}, {"timeouts": {"shutdown_delay": "10ms", "shutdown": "300ms"}})
        with Asked(gateway, version, "/hold") as answer, Asked(gateway, version, "/silent") as silent, \
                Asked(gateway, version, "/tunnel-hold", websocket=True) as tunnel:
            answer.begin()
            tunnel.begin()
            server.wait_requests(3)
            server.go.set()
            gateway.signal(signal.SIGTERM)
            assert gateway.wait_exit() == 0
            assert silent.version == version
        for path, status in (("/hold", 200), ("/silent", 499), ("/tunnel-hold", 200 if version == "2" else 101)):
            record = record_of(gateway, version, path)
            assert record["http.response.status_code"] == status and failure(record) == ("shutdown", None)
        gateway.assert_clean()
        gateway.discard()


def test_an_answer_that_nobody_can_better_any_more():
    """The other endpoint, which was to be asked after the 503, fails its health check meanwhile."""
    def refuse(connection, request):
        other = servers[1 - servers.index(connection.upstream)]
        other.healthy = False
        gateway.wait_metric(0, "gatehouse_endpoint_healthy", endpoint=other.address)
        connection.respond(503)

    with Upstream(refuse, health="/healthz") as one, Upstream(refuse, health="/healthz") as two:
        servers = [one, two]
        service = {"sites": [{"site": "here", "endpoints": [one.address, two.address]}], "retry": {"attempts": 2, "retry_on": ["503"]},
                   "health": {"path": "/healthz", "interval": "100ms", "timeout": "1s", "unhealthy_after": 1}}
        with Gateway({"shop": tenant(services={"web": service})}) as gateway:
            response = gateway.request("/worse")
            assert response.status == 503 and response.header("retry-after") == "1"
            assert gateway.access_record(url__path="/worse")["gatehouse.reason"] == "no_endpoint"
