"""What the upstream gets and what the client gets back, field by field."""
import json
import re

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.upstream import Upstream

ADDED = {"x-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "traceparent", "cdn-loop", "via"}


@pytest.fixture(scope="module")
def gateway(upstream):
    hosts = [{"name": "shop.test", "tls": "off"}, {"name": "secure.test", "tls": {"self_signed": True}}]
    with Gateway({"shop": tenant(upstream=upstream, hosts=hosts)}) as running:
        yield running


def test_exact_bytes_at_the_upstream(gateway, upstream):
    upstream.forget()
    given = [("User-Agent", "test/1 (x; y)"), ("accept", "*/*"), ("X-Mixed-Case", "a,  b\t c"), ("X-Empty", ""), ("Cookie", "a=1; b=2"),
             ("X-Twice", "1"), ("X-Twice", "2"), ("X-High", "caf\xe9")]
    gateway.request("/p?q=1", headers=given)
    request = upstream.requests[0]
    assert request.head.startswith(b"GET /p?q=1 HTTP/1.1\r\n")
    kept = [(name, value) for name, value in request.headers if name not in ADDED]
    assert kept[0] == ("host", "shop.test"), "Host comes first (RFC 9112 section 3.2)"
    assert kept[1:] == [(name.lower(), value) for name, value in given]
    assert set(name for name, _ in request.headers) - set(name for name, _ in kept) <= ADDED
    for name, _ in given:
        assert name in request.names, "names are forwarded as they were written"


def test_set_for_upstreams(gateway, upstream):
    upstream.forget()
    gateway.request("/")
    gateway.request("/", host="secure.test:443", tls=True, server_name="secure.test")
    plain, secure = upstream.requests
    assert plain.header("x-forwarded-proto") == "http" and secure.header("x-forwarded-proto") == "https"
    assert plain.header("x-forwarded-host") == "shop.test" and secure.header("x-forwarded-host").startswith("secure.test")
    for request in (plain, secure):
        assert request.header("x-forwarded-for") == "127.0.0.1"
        assert re.fullmatch(r"[0-9A-Za-z-]{16,64}", request.header("x-request-id"))
        match = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}", request.header("traceparent"))
        assert match and set(match[1]) != {"0"} and set(match[2]) != {"0"}
    assert plain.header("x-request-id") != secure.header("x-request-id")


def test_request_ids_do_not_repeat(gateway, upstream):
    upstream.forget()
    with gateway.connect() as connection:
        connection.send(request_bytes() * 50)
        for _ in range(50):
            assert connection.response().status == 200
    assert len({request.header("x-request-id") for request in upstream.requests}) == 50


@pytest.mark.parametrize("headers", [
    [("Connection", "X-Private"), ("X-Private", "1")],
    [("Connection", "keep-alive, x-private ,x-other"), ("X-Private", "1"), ("X-Other", "1"), ("Keep-Alive", "timeout=5")],
    [("Connection", "X-Private"), ("Connection", "X-Other"), ("X-Private", "1"), ("X-Other", "2")],
    [("Keep-Alive", "timeout=5")], [("Proxy-Connection", "keep-alive")], [("Proxy-Authorization", "Basic eDp5")],
    [("TE", "trailers"), ("Connection", "TE")], [("TE", "gzip")], [("Trailer", "X-Sum")], [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA")],
    [("Upgrade", "TLS/1.0"), ("Connection", "Upgrade")], [("Proxy-Authenticate", "Basic")],
])
def test_hop_by_hop_fields_end_here(gateway, upstream, headers):
    upstream.forget()
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes(headers=headers))
    if response.status == 400 and any(name == "Upgrade" for name, _ in headers):
        return
    assert response.status == 200
    seen = {name for name, _ in upstream.requests[0].headers}
    gone = {name.lower() for name, _ in headers} - {"connection"}
    assert not seen & gone
    assert upstream.requests[0].tokens("connection") in ([], ["keep-alive"])


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding", "Cookie", "Authorization", "X-Forwarded-For", "x-request-id"])
def test_connection_cannot_remove_what_matters(gateway, upstream, name):
    """A client that names such a field asks the gateway to hide from the upstream what other hops have seen."""
    upstream.forget()
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes("POST", headers=[("Connection", name), ("Cookie", "a=1"), ("Authorization", "Basic eDp5")], body=b"x"))
    if response.status == 400:
        assert upstream.requests == []
        return
    assert response.status == 200
    request = upstream.requests[0]
    assert request.header("host") == "shop.test" and request.body == b"x"
    assert request.header("x-forwarded-for") == "127.0.0.1" and request.has("x-request-id")


@pytest.mark.parametrize("name", ["X_Private", "Content_Length", "Transfer_Encoding", "_", "x_forwarded_for"])
def test_names_with_underscores_are_refused(gateway, upstream, name):
    upstream.forget()
    assert gateway.request(headers=[(name, "1")]).status == 400
    assert upstream.requests == []


def test_identity_headers_of_a_client_are_removed(gateway, upstream):
    upstream.forget()
    gateway.request(headers=[("X-Forwarded-Client-Cert", "CN=admin"), ("x-forwarded-client-cert", "CN=root")])
    assert not upstream.requests[0].has("x-forwarded-client-cert")


def test_loops_are_broken(gateway, upstream):
    """More than 4 passes through gateways (RFC 8586)."""
    upstream.forget()
    gateway.request()
    token = upstream.requests[0].header("cdn-loop")
    assert token
    assert gateway.request(headers=[("CDN-Loop", ", ".join([token] * 3))]).status == 200
    assert gateway.request(headers=[("CDN-Loop", "other; x=1")]).status == 200
    assert upstream.requests[2].header("cdn-loop") == "other; x=1, " + token
    before = len(upstream.requests)
    assert gateway.request(headers=[("CDN-Loop", ", ".join([token] * 5))]).status == 508
    assert gateway.request(headers=[("CDN-Loop", token)] * 5).status == 508
    assert len(upstream.requests) == before
    gateway.wait_metric(lambda value: value >= 2, "gatehouse_local_replies_total", reason="loop")


@pytest.mark.parametrize("method, value, seen", [
    ("OPTIONS", "5", "4"), ("OPTIONS", "1", "0"), ("TRACE", "10", "9"), ("GET", "0", "0"), ("POST", "x", "x"),
])
def test_max_forwards_is_counted_down(gateway, upstream, method, value, seen):
    """RFC 9110 section 7.6.2; it means nothing to other methods."""
    upstream.forget()
    assert gateway.request(method=method, headers=[("Max-Forwards", value)]).status == 200
    assert upstream.requests[0].header("max-forwards") == seen


@pytest.mark.parametrize("method, value, status", [("OPTIONS", "0", 200), ("TRACE", "0", 501), ("OPTIONS", "x", 400), ("TRACE", "-1", 400)])
def test_max_forwards_ends_here(gateway, upstream, method, value, status):
    upstream.forget()
    loops = gateway.metric("gatehouse_local_replies_total", reason="loop")
    response = gateway.request(method=method, headers=[("Max-Forwards", value), ("Cookie", "secret=1")])
    assert response.status == status and b"secret" not in response.body
    assert upstream.requests == []
    record = gateway.access_record(http__request__id=response.header("x-request-id"))
    assert record["gatehouse.reason"] == ("malformed" if status == 400 else "max_forwards")
    assert gateway.metric("gatehouse_local_replies_total", reason="loop") == loops


@pytest.fixture(scope="module")
def answering():
    """An upstream whose answer's head is chosen by the request's path."""
    heads = {
        "/hop": b"Connection: X-Private, close\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nX-Public: 1\r\nContent-Length: 2\r\n",
        "/plain": b"Server: Apache\r\nX-Powered-By: PHP\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nETag: \"x\"\r\nContent-Length: 2\r\n",
        "/no-date": b"Content-Length: 2\r\n",
        "/trailer": b"Trailer: X-Sum\r\nContent-Length: 2\r\n",
        "/upgrade": b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n",
    }

    def handler(connection, request):
        connection.send(b"HTTP/1.1 200 Fine\r\n" + heads[request.target] + b"\r\nok")
        if request.target == "/hop":
            connection.close()

    with Upstream(handler) as server, Gateway({"shop": tenant(upstream=server)}) as running:
        yield running


def test_response_hop_by_hop_fields_end_here(answering):
    with answering.connect() as connection:
        response = connection.exchange(request_bytes(target="/hop"))
        assert not {name for name, _ in response.headers} & {"x-private", "keep-alive", "proxy-connection"}
        assert response.header("x-public") == "1"
        assert not response.closes, "the upstream's Connection: close is between it and the gateway"
        assert connection.exchange(request_bytes(target="/plain")).status == 200
        response = connection.exchange(request_bytes(target="/upgrade"))
        assert not response.has("upgrade")


def test_response_fields_pass(answering):
    response = answering.request("/plain")
    assert response.reason == "Fine"
    assert response.all("set-cookie") == ["a=1", "b=2"]
    assert response.header("server") == "Apache" and response.header("etag") == '"x"'
    assert response.header("date") == "Mon, 01 Jan 2024 00:00:00 GMT"
    assert "Set-Cookie" in response.names and "set-cookie" in response.names


def test_date_is_added_where_the_upstream_has_none(answering):
    """RFC 9110 section 6.6.1."""
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", answering.request("/no-date").header("date") or "")


def test_underscores_can_be_allowed(upstream):
    with Gateway({"shop": tenant(upstream=upstream)}, {"limits": {"underscores": "allow"}}) as gateway:
        response = gateway.request(headers=[("X_Private", "1")])
        assert response.status == 200 and ["x_private", "1"] in json.loads(response.body)["headers"]


def test_underscores_do_not_bring_in_what_the_gateway_says_itself(upstream):
    """CGI makes one variable of X_Forwarded_For and X-Forwarded-For."""
    names = ["X_Forwarded_For", "X-Forwarded_Proto", "x_request_id", "X_Real_IP", "X_Forwarded-Client-Cert", "X_Forwarded_Prefix", "CDN_Loop",
             "X_Forwarded_" + "A" * 40]
    with Gateway({"shop": tenant(upstream=upstream)}, {"limits": {"underscores": "allow"}}) as gateway:
        response = gateway.request(headers=[(name, "evil") for name in names] + [("X_Forwarded", "1"), ("X_Real", "1")])
        received = json.loads(response.body)["headers"]
        assert not [name for name, value in received if value == "evil"]
        assert ["x_forwarded", "1"] in received and ["x_real", "1"] in received
