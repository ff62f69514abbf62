"""Services: balancing, health checks, retries, HTTPS upstreams, and what is said when nothing is left."""
import json
import signal
import socket
import ssl
import threading
import time
from collections import Counter

import pytest

from harness.certificates import Authority
from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.http1 import Closed, Truncated, read_request_head
from harness.polling import poll
from harness.upstream import Unreachable, Upstream, echo, refused_address

QUICK = {"path": "/healthz", "interval": "100ms", "timeout": "200ms", "unhealthy_after": 2, "healthy_after": 2}


def service(*endpoints, **more):
    addresses = [endpoint if isinstance(endpoint, str) else endpoint.address for endpoint in endpoints]
    return {"web": {"sites": [{"site": "here", "endpoints": addresses}], **more}}


def who(gateway, target="/", **options):
    response = gateway.request(target, **options)
    assert response.status == 200, response
    return json.loads(response.body)["upstream"]


@pytest.fixture
def three():
    servers = [Upstream(name=name, health="/healthz") for name in "abc"]
    yield servers
    for server in servers:
        server.close()


def test_round_robin(three):
    with Gateway({"shop": tenant(services=service(*three))}, {"workers": 1}) as gateway:
        assert Counter(who(gateway) for _ in range(30)) == {"a": 10, "b": 10, "c": 10}


def test_least_request(three):
    """Two endpoints are each busy with a request that does not end; all others go to the third."""
    def hold(connection, request):
        if request.target == "/hold":
            connection.upstream.released.wait(20)
        echo(connection, request)

    for server in three:
        server.handler = hold
    with Gateway({"shop": tenant(services=service(*three, balance="least_request"))}, {"workers": 1}) as gateway:
        waiting = []
        for count in (1, 2):
            connection = gateway.connect()
            connection.send(request_bytes(target="/hold"))
            waiting.append(connection)
            poll(lambda wanted=count: sum(len(server.requests) for server in three) >= wanted, "the request to arrive")
        busy = [server.name for server in three if server.requests]
        assert len(busy) == 2, "the second went to one that was idle"
        assert not {who(gateway) for _ in range(10)} & set(busy)
        for server in three:
            server.released.set()
        for connection in waiting:
            assert connection.response().status == 200
            connection.close()


def test_health_flips_an_endpoint_out_and_in(three):
    first, second, third = three
    with Gateway({"shop": tenant(services=service(*three, health=QUICK))}) as gateway:
        def healthy(server):
            return gateway.metric("gatehouse_endpoint_healthy", tenant="shop", service="web", site="here", endpoint=server.address)
        poll(lambda: all(healthy(server) == 1 for server in three), "all to be healthy")
        first.healthy = False
        poll(lambda: healthy(first) == 0, "the endpoint to be out")
        assert {who(gateway) for _ in range(12)} == {"b", "c"}
        first.healthy = True
        poll(lambda: healthy(first) == 1, "the endpoint to be in again")
        assert {who(gateway) for _ in range(12)} == {"a", "b", "c"}


@pytest.mark.parametrize("kind", ["refuses", "hangs", "garbage", "status", "slow-head"])
def test_every_kind_of_ill_health_is_found(kind):
    def sick(connection, request):
        if kind == "garbage":
            connection.send(b"nonsense\r\n\r\n")
        elif kind == "status":
            connection.respond(500, body="no")
        elif kind == "slow-head":
            connection.send(b"HTTP/1.1 200 OK\r\n")
            connection.upstream.released.wait(20)
        else:
            connection.upstream.released.wait(20)

    with Upstream(name="well", health="/healthz") as well, Upstream(sick) as ill:
        holder, address = refused_address()
        with holder, Gateway({"shop": tenant(services=service(well, address if kind == "refuses" else ill, health=QUICK))}) as gateway:
            gateway.wait_metric(1, "gatehouse_endpoint_healthy", endpoint=well.address)
            gateway.wait_metric(0, "gatehouse_endpoint_healthy", endpoint=address if kind == "refuses" else ill.address)
            assert {who(gateway) for _ in range(6)} == {"well"}


def test_health_request_is_a_request_of_its_own():
    seen = []

    def handler(connection, request):
        seen.append(request)
        connection.respond()

    with Upstream(handler) as upstream, Gateway({"shop": tenant(services=service(upstream, health={**QUICK, "path": "/ready?x=1"}))}):
        poll(lambda: len(seen) >= 2, "two checks")
    assert seen[0].method == "GET" and seen[0].target == "/ready?x=1" and seen[0].has("host")


def test_unknown_is_healthy_until_the_first_result():
    """An endpoint whose check is slow serves at once."""
    def handler(connection, request):
        if request.target == "/healthz":
            connection.upstream.released.wait(20)
        echo(connection, request)

    with Upstream(handler, name="slow") as upstream, \
            Gateway({"shop": tenant(services=service(upstream, health={**QUICK, "interval": "1h", "timeout": "30s"}))}) as gateway:
        assert who(gateway) == "slow"


def test_no_healthy_endpoint():
    with Upstream(health="/healthz") as upstream, Gateway({"shop": tenant(services=service(upstream, health=QUICK))}) as gateway:
        upstream.healthy = False
        gateway.wait_metric(0, "gatehouse_endpoint_healthy", endpoint=upstream.address)
        response = gateway.request()
        assert response.status == 503 and int(response.header("retry-after")) >= 1 and response.has("x-request-id")
        gateway.wait_metric(1, "gatehouse_local_replies_total", tenant="shop", reason="no_endpoint")
        upstream.healthy = True
        gateway.wait_metric(1, "gatehouse_endpoint_healthy", endpoint=upstream.address)
        assert gateway.request().status == 200


@pytest.mark.parametrize("method, size", [("GET", 0), ("POST", 4), ("POST", 300_000)])
def test_refused_connection_is_tried_elsewhere_for_any_method(three, method, size):
    body = "x" * size if size else None
    holder, address = refused_address()
    with holder, Gateway({"shop": tenant(services=service(address, three[0]))}) as gateway:
        for _ in range(6):
            assert who(gateway, method=method, body=body) == "a"
        assert all(len(request.body) == size for request in three[0].requests)
        assert len(three[0].requests) == 6


def test_retries_are_bounded(three):
    holders = [refused_address() for _ in range(3)]
    addresses = [address for _, address in holders]
    try:
        with Gateway({"shop": tenant(services=service(*addresses, three[0], retry={"attempts": 1}))}, {"workers": 1}) as gateway:
            statuses = Counter(gateway.request().status for _ in range(8))
            assert statuses == {502: 6, 200: 2}
    finally:
        for holder, _ in holders:
            holder.close()


def test_all_refused():
    holder, address = refused_address()
    with holder, Gateway({"shop": tenant(services=service(address))}) as gateway:
        response = gateway.request()
        assert response.status in (502, 503) and response.has("x-request-id")
        assert address not in response.text and "refused" not in response.text.lower()


def test_unreachable_endpoint_is_tried_elsewhere(three):
    with Unreachable() as unreachable, \
            Gateway({"shop": tenant(services=service(unreachable.address, three[0]))}, {"timeouts": {"upstream_connect": "200ms"}}) as gateway:
        for _ in range(4):
            assert who(gateway) == "a"


def once(failure):
    """Handlers for two endpoints that share their history: the first request to either fails, whichever it is."""
    history = []

    def handler(connection, request):
        history.append(request)
        if len(history) > 1:
            echo(connection, request)
        elif failure == "reset":
            connection.reset()
        else:
            connection.respond(int(failure), body="first")
    handler.history = history
    return handler


FAILURES = pytest.mark.parametrize("kind, failure", [("reset", 502), ("502", 502), ("503", 503)])


def two_attempts(kind, retry_on, method, body, waf="off"):
    """The status, and the bodies that the two endpoints got in all."""
    handler = once(kind)
    retry = {"attempts": 2, "retry_on": retry_on}
    with Upstream(handler) as one, Upstream(handler) as two, \
            Gateway({"shop": tenant(services=service(one, two, retry=retry), waf={"mode": waf})}) as gateway:
        status = gateway.request(method=method, body=body, headers=[("Content-Type", "application/x-www-form-urlencoded")] if body else []).status
        assert len(one.requests) <= 1 and len(two.requests) <= 1, "the second attempt is for another endpoint"
        return status, [request.body for request in handler.history]


@FAILURES
@pytest.mark.parametrize("method, body, waf", [("GET", None, "off"), ("PUT", None, "off"), ("PUT", b"x=y", "detect")])
def test_retry_of_what_may_be_repeated(kind, failure, method, body, waf):
    """With a body, if that is still held: the WAF has collected it. What was streamed is gone."""
    assert two_attempts(kind, ["connect", kind], method, body, waf) == (200, [body or b""] * 2)


@FAILURES
@pytest.mark.parametrize("method, configured", [("GET", False), ("PUT", False), ("POST", True), ("PATCH", True)])
def test_no_retry_unless_configured_and_never_of_what_may_have_had_its_effect(kind, failure, method, configured):
    assert two_attempts(kind, ["connect", kind] if configured else ["connect"], method, None) == (failure, [b""])


def test_a_request_whose_answer_has_begun_is_not_retried():
    def handler(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
        connection.close()

    with Upstream(handler) as one, Upstream(handler) as two, \
            Gateway({"shop": tenant(services=service(one, two, retry={"attempts": 3, "retry_on": ["connect", "reset"]}))}) as gateway, gateway.connect() as connection:
        connection.send(request_bytes())
        assert isinstance(connection.outcome(), (Closed, Truncated))
        assert len(one.requests) + len(two.requests) == 1


def test_host_sent_upstream_is_the_clients(three):
    with Gateway({"shop": tenant(services=service(three[0]))}) as gateway:
        gateway.request(host="Shop.Test:8080")
        assert three[0].requests[0].header("host") == "Shop.Test:8080"


def test_ipv6_endpoint():
    with Upstream(name="six", host="::1") as upstream, Gateway({"shop": tenant(services=service(upstream))}) as gateway:
        assert who(gateway) == "six"
        assert gateway.access_record(url__path="/")["destination.address"].startswith("::1") or "[::1]" in gateway.access_record(url__path="/")["destination.address"]


@pytest.fixture(scope="module")
def secure_upstream(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("internal.test"))
    names = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with Upstream(name="secure", tls=context) as server:
        server.names = names
        yield server


def test_https_upstream(secure_upstream, authority):
    services = service(secure_upstream, protocol="https", tls={"ca_file": authority.certificate, "server_name": "internal.test"})
    with Gateway({"shop": tenant(services=services)}, files=[authority.folder]) as gateway:
        assert who(gateway) == "secure"
        assert who(gateway, method="POST", body="x" * 100_000) == "secure"
        assert secure_upstream.names[-1] == "internal.test"


class RecordsInParts:
    """on_connect of an https upstream: answers one request with `head`, and then with one TLS record whose second half comes later."""

    def __init__(self, certificate, head, body):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        self.head, self.body = head, body
        self.half_is_sent, self.go_on = threading.Event(), threading.Event()

    def __call__(self, connection):
        raw, incoming, outgoing = connection.socket, ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(incoming, outgoing, server_side=True)

        def until_done(step):
            while True:
                try:
                    done = step()
                except ssl.SSLWantReadError:
                    done = None
                if outgoing.pending:
                    raw.sendall(outgoing.read())
                if done is not None:
                    return done
                incoming.write(raw.recv(65536))

        until_done(lambda: tls.do_handshake() or True)
        until_done(lambda: tls.read(65536))
        until_done(lambda: tls.write(self.head))
        assert self.go_on.wait(20)
        self.go_on.clear()
        tls.write(self.body)
        record = outgoing.read()
        raw.sendall(record[:len(record) // 2])
        self.half_is_sent.set()
        assert self.go_on.wait(20)
        raw.sendall(record[len(record) // 2:])
        raw.recv(65536)  # until the gateway ends it


@pytest.mark.parametrize("kind", ["answer", "tunnel"])
def test_half_a_record_of_an_https_upstream_costs_nothing(authority, kind):
    """The rest is waited for, and others are served meanwhile by the one worker."""
    body = b"x" * 10_000
    if kind == "answer":
        head, request = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", request_bytes()
    else:
        head = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
        request = request_bytes(headers=[("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
                                         ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
    parts = RecordsInParts(authority.issue("internal.test"), head, body)
    with Upstream(on_connect=parts) as upstream, Upstream(name="other") as other:
        tls = {"ca_file": authority.certificate, "server_name": "internal.test"}
        tenants = {"shop": tenant(services=service(upstream, protocol="https", tls=tls)), "other": tenant("other", other)}
        with Gateway(tenants, {"workers": 1}, files=[authority.folder]) as gateway, gateway.connect() as connection:
            connection.send(request)
            got = connection.socket.recv(65536)
            assert b"\r\n\r\n" in got
            parts.go_on.set()
            assert parts.half_is_sent.wait(20)
            assert gateway.request(host="other.test").status == 200
            before = gateway.cpu_seconds()
            time.sleep(0.5)  # what is measured is that nothing happens
            spent = gateway.cpu_seconds() - before
            assert gateway.request(host="other.test").status == 200
            parts.go_on.set()
            while not got.endswith(body):
                more = connection.socket.recv(65536)
                assert more, len(got)
                got += more
            assert spent < 0.25, spent


@pytest.mark.parametrize("tls", [{"server_name": "internal.test"}, {"ca_file": True, "server_name": "other.test"}, {"ca_file": True}])
def test_https_upstream_that_cannot_be_verified(secure_upstream, authority, tls):
    """System CAs do not know it; the name is another; the name asked for is the request's host."""
    if tls.get("ca_file"):
        tls = {**tls, "ca_file": authority.certificate}
    before = len(secure_upstream.requests)
    with Gateway({"shop": tenant(services=service(secure_upstream, protocol="https", tls=tls))}, files=[authority.folder]) as gateway:
        assert gateway.request().status == 502
    assert len(secure_upstream.requests) == before


def test_client_certificate_towards_the_upstream(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("internal.test"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.certificate)
    certificate, key = authority.issue("the gateway", client=True)
    tls = {"ca_file": authority.certificate, "server_name": "internal.test"}
    with Upstream(name="strict", tls=context) as upstream:
        with Gateway({"shop": tenant(services=service(upstream, protocol="https", tls={**tls, "certificate_file": certificate, "key_file": key}))},
                     files=[authority.folder]) as gateway:
            assert who(gateway) == "strict"
        with Gateway({"shop": tenant(services=service(upstream, protocol="https", tls=tls))}, files=[authority.folder]) as gateway:
            assert gateway.request().status == 502


def test_upstream_time_is_measured():
    def late(connection, request):
        connection.upstream.released.wait(0.2)
        connection.respond(body="late")

    with Upstream(late) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway:
        begin = time.monotonic()
        gateway.request()
        spent = time.monotonic() - begin
        gateway.wait_metric(1, "gatehouse_upstream_duration_seconds_count", tenant="shop", service="web", site="here")
        assert 0.19 <= gateway.metric("gatehouse_upstream_duration_seconds_sum", tenant="shop") <= spent
        record = gateway.access_record(url__path="/")
        assert 190_000_000 <= record["gatehouse.upstream_ns"] <= record["event.duration"]


def test_health_of_an_https_service_follows_its_settings(secure_upstream, authority, tmp_path):
    """An authority that is named by a reload is the one by which the next check verifies."""
    stranger = Authority(tmp_path / "other")
    health = {**QUICK, "path": "/", "interval": "1h"}

    def verified_by(ca):
        tls = {"ca_file": ca.certificate, "server_name": "internal.test"}
        return tenant(services=service(secure_upstream, protocol="https", tls=tls, health=health))
    with Gateway({"shop": verified_by(stranger)}, files=[authority.folder, stranger.folder]) as gateway:
        gateway.wait_log("endpoint is unhealthy")
        assert gateway.request().status == 503
        gateway.write_tenant("shop", verified_by(authority))
        gateway.signal(signal.SIGHUP)
        gateway.wait_metric(1, "gatehouse_endpoint_healthy", tenant="shop")
        assert who(gateway) == "secure"


@pytest.mark.parametrize("name", ["*", "*.shop.test"])
def test_health_of_an_https_service_of_hosts_without_a_name(authority, name):
    """The tenant's first host is a pattern: the endpoint's address is what its certificate must name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("127.0.0.1"))
    with Upstream(name="addressed", tls=context, health="/healthz") as upstream:
        services = service(upstream, protocol="https", tls={"ca_file": authority.certificate}, health=QUICK)
        with Gateway({"shop": tenant(hosts=[{"name": name, "tls": "off"}], services=services)}, files=[authority.folder]) as gateway:
            gateway.wait_log("endpoint is healthy")


def test_no_host_is_nobodys_certificate(secure_upstream, authority):
    """The certificate is for internal.test; a request that names no host must not make any certificate do."""
    services = service(secure_upstream, protocol="https", tls={"ca_file": authority.certificate})
    with Gateway({"shop": tenant(hosts=[{"name": "*", "tls": "off"}], services=services)}, files=[authority.folder]) as gateway:
        assert gateway.request(host="internal.test").status == 200
        before = len(secure_upstream.requests)
        with gateway.connect() as connection:
            connection.send(b"GET / HTTP/1.0\r\n\r\n")
            assert connection.response().status == 502
        assert len(secure_upstream.requests) == before


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_body_of_no_bytes_stands_in_no_retrys_way(method):
    def reset(connection, request):
        connection.reset()

    with Upstream(reset, name="bad") as bad, Upstream(name="good") as good:
        retry = {"attempts": 2, "retry_on": ["reset"]}
        with Gateway({"shop": tenant(services=service(bad, good, retry=retry))}, {"workers": 1}) as gateway:
            for _ in range(2):
                assert who(gateway, method=method, headers=[("Content-Length", "0")]) == "good"


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nX_Underscore: 1\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 20_000 + b"\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 150 + b"Content-Length: 0\r\n\r\n",
], ids=["underscore", "interim", "long", "many"])
def test_what_answers_a_request_answers_a_check(answer):
    def handler(connection, request):
        connection.send(answer)

    with Upstream(handler) as upstream, Gateway({"shop": tenant(services=service(upstream, health=QUICK))}) as gateway:
        gateway.wait_log("endpoint is healthy")
        assert gateway.request().status == 200


@pytest.mark.parametrize("protocol", ["http", "https"])
@pytest.mark.parametrize("size", [100, 16_384, 40_000, 300_000])
def test_connections_are_kept_whatever_the_answers_length(authority, protocol, size):
    def handler(connection, request):
        connection.respond(body=b"x" * size)

    context = None
    if protocol == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("internal.test"))
    tls = {"protocol": "https", "tls": {"ca_file": authority.certificate, "server_name": "internal.test"}} if context else {}
    with Upstream(handler, tls=context) as upstream, \
            Gateway({"shop": tenant(services=service(upstream, **tls))}, {"workers": 1}, files=[authority.folder]) as gateway:
        with gateway.connect() as connection:
            for _ in range(10):
                assert len(connection.exchange(request_bytes()).body) == size
        assert len(upstream.connections) == 1


@pytest.mark.parametrize("waf", ["off", "detect"])
def test_an_early_answer_is_heard_while_a_body_at_hand_is_sent(waf):
    """The upstream answers and takes no more than its buffers do."""
    answered = []

    def refuse(connection):
        read_request_head(connection.buffer)
        connection.respond(413, body="too large")
        answered.append(time.monotonic())
        connection.upstream.released.wait(20)

    with Upstream(on_connect=refuse, socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)]) as upstream, \
            Gateway({"shop": tenant(upstream=upstream, waf={"mode": waf, "body": {"limit": "9MiB"}})},
                    {"timeouts": {"response": "20s"}, "waf": {"time_budget": "10s"}}) as gateway:
        response = gateway.request(method="POST", headers=[("Content-Type", "text/plain")], body=b"x" * (8 << 20), timeout=40)
        assert response.status == 413 and time.monotonic() - answered[0] < 10, "how long the rules take is another matter"
