"""Requests of HTTP/2 that would become several, or others, once they are written down as HTTP/1.1 ("downgrade" or "H2" attacks: H2.CL,
H2.TE, injected line ends, pseudo-header tricks): each is refused, or goes upstream in exactly one unambiguous form. The upstream's strict
reader is the judge. And the protocol's own rules (RFC 9113), as frames on the wire."""
import os
import shutil
import subprocess

import pytest

from harness.gateway import Gateway, tenant
from harness.http2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE,
                           RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, Frames, frame, settings_frame)
from harness.upstream import Upstream

SECURE = [{"name": "shop.test", "tls": {"self_signed": True}}, {"name": "localhost", "tls": {"self_signed": True}}]
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n"
FRAME_SIZE_ERROR, FLOW_CONTROL_ERROR, COMPRESSION_ERROR = 6, 3, 9


@pytest.fixture(scope="module")
def upstream():
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(upstream):
    with Gateway({"shop": tenant(hosts=SECURE, upstream=upstream)}, {"limits": {"body_bytes": "1MiB"}}) as running:
        yield running


def head(*extra, method="POST", scheme="https", authority="shop.test", path="/case", before=()):
    pseudo = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
    return [*before, *[pair for pair in pseudo if pair[1] is not None], *extra]


REFUSED = {
    # Content-Length that is not the body's
    "h2.cl-short": (head(("content-length", "0")), SMUGGLED),
    "h2.cl-shorter": (head(("content-length", "5")), "12345" + SMUGGLED),
    "h2.cl-longer": (head(("content-length", "500")), "12345"),
    "h2.cl-twice": (head(("content-length", "5"), ("content-length", "5")), "12345"),
    "h2.cl-twice-differing": (head(("content-length", "5"), ("content-length", "6")), "12345"),
    "h2.cl-list": (head(("content-length", "5, 5")), "12345"),
    "h2.cl-plus": (head(("content-length", "+5")), "12345"),
    "h2.cl-minus": (head(("content-length", "-5")), "12345"),
    "h2.cl-hex": (head(("content-length", "0x5")), "12345"),
    "h2.cl-blank": (head(("content-length", " 5")), "12345"),
    "h2.cl-empty": (head(("content-length", "")), "12345"),
    "h2.cl-huge": (head(("content-length", "99999999999999999999")), "12345"),
    "h2.cl-upper": (head(("Content-Length", "5")), "12345"),
    # Transfer-Encoding, which HTTP/2 does not have
    "h2.te": (head(("transfer-encoding", "chunked")), "0\r\n\r\n" + SMUGGLED),
    "h2.te-cl": (head(("transfer-encoding", "chunked"), ("content-length", "5")), "0\r\n\r\n"),
    "h2.te-identity": (head(("transfer-encoding", "identity")), SMUGGLED),
    "h2.te-upper": (head(("Transfer-Encoding", "chunked")), "0\r\n\r\n" + SMUGGLED),
    "h2.te-blank": (head(("transfer-encoding ", "chunked")), "0\r\n\r\n" + SMUGGLED),
    "h2.te-colon": (head(("transfer-encoding:chunked\r\nx", "y")), "0\r\n\r\n" + SMUGGLED),
    "h2.te-value": (head(("x", "y\r\ntransfer-encoding: chunked")), "0\r\n\r\n" + SMUGGLED),
    "h2.te-underscore": (head(("transfer_encoding", "chunked")), "0\r\n\r\n" + SMUGGLED),
    "te-other": (head(("te", "gzip")), ""),
    "te-list": (head(("te", "trailers, chunked")), ""),
    # Fields of the connection
    "connection": (head(("connection", "x-forwarded-for")), ""),
    "connection-te": (head(("connection", "te"), ("te", "trailers")), ""),
    "keep-alive": (head(("keep-alive", "timeout=5")), ""),
    "proxy-connection": (head(("proxy-connection", "keep-alive")), ""),
    "upgrade": (head(("upgrade", "websocket")), ""),
    "upgrade-h2c": (head(("upgrade", "h2c"), ("http2-settings", "AAMAAABkAAQAAP__")), ""),
    # Line ends and the like, wherever they may be put
    "value-crlf": (head(("x", "a\r\nx-injected: 1")), ""),
    "value-lf": (head(("x", "a\nx-injected: 1")), ""),
    "value-cr": (head(("x", "a\rx-injected: 1")), ""),
    "value-request": (head(("x", "a\r\n\r\n" + SMUGGLED)), ""),
    "value-nul": (head(("x", "a\0b")), ""),
    "name-crlf": (head(("x: 1\r\nx-injected", "1")), ""),
    "name-colon": (head(("x:y", "1")), ""),
    "name-blank": (head(("x y", "1")), ""),
    "name-empty": (head(("", "1")), ""),
    "name-nul": (head(("x\0", "1")), ""),
    "name-high": (head(("x\xff", "1")), ""),
    "path-crlf": (head(path="/ HTTP/1.1\r\nx-injected: 1\r\n\r\n"), ""),
    "path-blank": (head(path="/a HTTP/1.1"), ""),
    "path-tab": (head(path="/a\tb"), ""),
    "path-fragment": (head(path="/a#b"), ""),
    "path-empty": (head(path=""), ""),
    "path-missing": (head(path=None), ""),
    "path-absolute": (head(path="https://other.test/case"), ""),
    "path-authority": (head(path="other.test:80"), ""),
    "path-asterisk": (head(path="*"), ""),
    "path-above-root": (head(path="/../case"), ""),
    "path-nul": (head(path="/%00"), ""),
    "path-percent": (head(path="/%zz"), ""),
    "method-crlf": (head(method="GET /smuggled HTTP/1.1\r\nhost: shop.test\r\n\r\nGET"), ""),
    "method-blank": (head(method="GET /x"), ""),
    "method-empty": (head(method=""), ""),
    "method-missing": (head(method=None), ""),
    "scheme-missing": (head(scheme=None), ""),
    "scheme-other": (head(scheme="http"), ""),
    "scheme-injection": (head(scheme="https://other.test/?"), ""),
    "authority-crlf": (head(authority="shop.test\r\nx-injected: 1"), ""),
    "authority-empty": (head(authority=""), ""),
    "authority-user": (head(authority="user@shop.test"), ""),
    "authority-path": (head(authority="shop.test/x"), ""),
    "authority-port": (head(authority="shop.test:abc"), ""),
    "authority-two-ports": (head(authority="shop.test:1:2"), ""),
    "authority-missing": (head(authority=None), ""),
    # Who is asked
    "host-differs": (head(("host", "other.test")), ""),
    "host-twice": (head(("host", "shop.test"), ("host", "shop.test")), ""),
    "host-port": (head(("host", "shop.test:444")), ""),
    "host-blank": (head(("host", " shop.test")), ""),
    "host-alone-malformed": (head(("host", "shop.test/x"), authority=None), ""),
    # Pseudo-header fields
    "pseudo-behind": (head(before=[("x", "1")]), ""),
    "pseudo-twice": (head(before=[(":path", "/other")]), ""),
    "pseudo-method-twice": (head(before=[(":method", "GET")]), ""),
    "pseudo-authority-twice": (head(before=[(":authority", "other.test")]), ""),
    "pseudo-status": (head(before=[(":status", "200")]), ""),
    "pseudo-unknown": (head(before=[(":host", "other.test")]), ""),
    "pseudo-protocol": (head(before=[(":protocol", "websocket")]), ""),
    "connect": ([(":method", "CONNECT"), (":authority", "shop.test:80")], SMUGGLED),
    "connect-path": (head(method="CONNECT"), ""),
    # Duplicates that two readers take differently
    "content-type-twice": (head(("content-type", "text/plain"), ("content-type", "application/json")), ""),
    "content-encoding-twice": (head(("content-encoding", "identity"), ("content-encoding", "gzip")), ""),
    "expect": (head(("expect", "200-ok")), ""),
}

FORWARDED = {
    "get": (head(method="GET"), ""),
    "get-with-body": (head(method="GET"), SMUGGLED),
    "get-with-length": (head(("content-length", str(len(SMUGGLED))), method="GET"), SMUGGLED),
    "post": (head(), "12345"),
    "post-length": (head(("content-length", "5")), "12345"),
    "post-nothing": (head(("content-length", "0")), ""),
    "chunks-as-body": (head(), "5\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "cookie-crumbs": (head(("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")), ""),
    "host-as-well": (head(("host", "shop.test")), ""),
    "host-alone": (head(("host", "shop.test"), authority=None), ""),
    "authority-port": (head(authority="shop.test:8443"), ""),
    "authority-dot": (head(authority="SHOP.test."), ""),
    "te-trailers": (head(("te", "trailers")), ""),
    "options": (head(method="OPTIONS"), ""),
    "odd-method": (head(method="M-SEARCH"), ""),
    "odd-path": (head(path="/a;b=c/%2F/x?y=/../&z=\"<>|"), ""),
    "empty-values": (head(("x", ""), ("y", "")), ""),
    "high-bytes": (head(("x", "\xe4\xf6")), ""),
    "http2-settings-alone": (head(("http2-settings", "AAMAAABkAAQAAP__")), ""),
    "priority": (head(("priority", "u=1, i")), ""),
}


def raw(pairs):
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def ask(client, pairs, body, stream=1):
    client.send(frame(HEADERS, END_HEADERS | (0 if body else END_STREAM), stream, client.encoder.encode(raw(pairs))))
    if body:
        client.send(frame(DATA, END_STREAM, stream, body.encode("latin-1")))
    client.wait(lambda: stream in client.resets() or any(found[2] == stream and found[1] & END_STREAM for found in client.frames if found[0] in (HEADERS, DATA)))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(gateway, upstream, name):
    upstream.forget()
    with Frames(gateway) as client:
        ask(client, *REFUSED[name])
        heads = [payload for kind, _, stream, payload in client.frames if (kind, stream) == (HEADERS, 1)]
        if heads:  # 400 (index 12 of HPACK's table), 417 and 421 have literals
            assert heads[0][0] in (0x8c, 0x08, 0x48) and b"\x88" != heads[0][:1], heads
        else:
            assert client.resets() == {1: PROTOCOL_ERROR}
        ask(client, head(method="GET", path="/after"), "", 3)  # the connection serves on
        assert 3 not in client.resets()
    assert [request.target for request in upstream.requests] == ["/after"], upstream.requests
    assert not upstream.violations


@pytest.mark.parametrize("name", FORWARDED)
def test_forwarded_in_one_form(gateway, upstream, name):
    upstream.forget()
    pairs, body = FORWARDED[name]
    with Frames(gateway) as client:
        ask(client, pairs, body)
        assert 1 not in client.resets()
        ask(client, head(method="GET", path="/after"), "", 3)
    assert not upstream.violations
    requests = [request for request in upstream.requests if request.target != "/after"]
    assert len(requests) == 1 and len(upstream.requests) == 2, upstream.requests
    request = requests[0]
    assert request.body == body.encode("latin-1") and request.method == dict(pairs)[":method"]
    names = [key.lower() for key, _ in request.headers]
    assert names.count("host") == 1 and names.count("cookie") <= 1 and names.count("content-length") + names.count("transfer-encoding") <= 1
    assert "http2-settings" not in names and "te" not in names and not any(key.startswith(":") for key in names)


# The protocol's own rules. `frames`: behind the preface and SETTINGS; `error`: of the connection, or of stream 1.

def get(client, stream=1, flags=END_HEADERS | END_STREAM):
    return frame(HEADERS, flags, stream, client.head("/x"))


CONNECTION_ERRORS = {
    "decreasing stream id (5.1.1)": (lambda c: get(c, 5) + get(c, 3), PROTOCOL_ERROR),
    "even stream id (5.1.1)": (lambda c: get(c, 2), PROTOCOL_ERROR),
    "HEADERS on stream 0 (6.2)": (lambda c: get(c, 0), PROTOCOL_ERROR),
    "DATA on stream 0 (6.1)": (lambda c: frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    "DATA on an idle stream (5.1)": (lambda c: frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
    "WINDOW_UPDATE on an idle stream (5.1)": (lambda c: frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"), PROTOCOL_ERROR),
    "RST_STREAM on an idle stream (5.1)": (lambda c: frame(RST_STREAM, 0, 1, bytes(4)), PROTOCOL_ERROR),
    "CONTINUATION without HEADERS (6.10)": (lambda c: frame(CONTINUATION, END_HEADERS, 1, c.head()), PROTOCOL_ERROR),
    "PING within a header block (6.10)": (lambda c: frame(HEADERS, END_STREAM, 1, c.head()) + frame(PING, 0, 0, bytes(8)), PROTOCOL_ERROR),
    "CONTINUATION of another stream (6.10)": (lambda c: frame(HEADERS, END_STREAM, 1, c.head()) + frame(CONTINUATION, END_HEADERS, 3, b""), PROTOCOL_ERROR),
    "PUSH_PROMISE of a client (8.4)": (lambda c: frame(PUSH_PROMISE, END_HEADERS, 1, bytes(4) + c.head()), PROTOCOL_ERROR),
    "padding longer than DATA (6.1)": (lambda c: get(c, 1, END_HEADERS) + frame(DATA, PADDED, 1, b"\x09abc"), PROTOCOL_ERROR),
    "SETTINGS of 5 bytes (6.5)": (lambda c: frame(SETTINGS, 0, 0, bytes(5)), FRAME_SIZE_ERROR),
    "SETTINGS ACK with payload (6.5)": (lambda c: frame(SETTINGS, ACK, 0, bytes(6)), FRAME_SIZE_ERROR),
    "SETTINGS on a stream (6.5)": (lambda c: frame(SETTINGS, 0, 1, b""), PROTOCOL_ERROR),
    "SETTINGS_ENABLE_PUSH of 2 (6.5.2)": (lambda c: settings_frame((2, 2)), PROTOCOL_ERROR),
    "SETTINGS_INITIAL_WINDOW_SIZE of 2^31 (6.5.2)": (lambda c: settings_frame((4, 1 << 31)), FLOW_CONTROL_ERROR),
    "SETTINGS_MAX_FRAME_SIZE of 1 (6.5.2)": (lambda c: settings_frame((5, 1)), PROTOCOL_ERROR),
    "PING of 7 bytes (6.7)": (lambda c: frame(PING, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
    "PING on a stream (6.7)": (lambda c: frame(PING, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "GOAWAY on a stream (6.8)": (lambda c: frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "WINDOW_UPDATE of 0 (6.9)": (lambda c: frame(WINDOW_UPDATE, 0, 0, bytes(4)), PROTOCOL_ERROR),
    "WINDOW_UPDATE of 3 bytes (6.9)": (lambda c: frame(WINDOW_UPDATE, 0, 0, bytes(3)), FRAME_SIZE_ERROR),
    "window beyond 2^31-1 (6.9.1)": (lambda c: frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2, FLOW_CONTROL_ERROR),
    "RST_STREAM of 3 bytes (6.4)": (lambda c: get(c, 1, END_HEADERS) + frame(RST_STREAM, 0, 1, bytes(3)), FRAME_SIZE_ERROR),
    "a frame of 16385 bytes (4.2)": (lambda c: get(c, 1, END_HEADERS) + frame(DATA, 0, 1, bytes(16385)), FRAME_SIZE_ERROR),
    "a header block that cannot be decoded (4.3)": (lambda c: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff"), COMPRESSION_ERROR),
    "an index of 0 (RFC 7541 6.1)": (lambda c: frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x80"), COMPRESSION_ERROR),
    "a stream that depends on itself (RFC 7540 5.3.1)": (lambda c: frame(PRIORITY, 0, 1, b"\0\0\0\1\x0f"), PROTOCOL_ERROR),
    "DATA behind END_STREAM (5.1)": (lambda c: get(c) + frame(DATA, END_STREAM, 1, b"x"), STREAM_CLOSED),
    "DATA behind RST_STREAM (5.1)": (lambda c: get(c, 1, END_HEADERS) + frame(RST_STREAM, 0, 1, bytes(4)) + frame(DATA, END_STREAM, 1, b"x"), STREAM_CLOSED),
    "HEADERS behind RST_STREAM (5.1)": (lambda c: get(c, 1, END_HEADERS) + frame(RST_STREAM, 0, 1, bytes(4)) + get(c), STREAM_CLOSED),
}


@pytest.mark.parametrize("name", CONNECTION_ERRORS)
def test_connection_error(gateway, name):
    make, error = CONNECTION_ERRORS[name]
    with Frames(gateway) as client:
        client.send(make(client))
        client.wait_end(10)
        assert client.goaway_error() == error


def test_tolerated(gateway):
    """Unknown frames, settings and flags are ignored (5.5, 6.5.2); PRIORITY may come at any time (6.3)."""
    with Frames(gateway) as client:
        client.send(frame(0x16, 0xff, 0, b"?" * 8) + settings_frame((0xff, 1)) + frame(PING, 0xfe, 0, b"12345678") + frame(PRIORITY, 0, 7, bytes(5))
                    + frame(HEADERS, END_HEADERS | END_STREAM | 0xc2, 1, client.head()))
        assert client.wait_frame(PING, flags=ACK)[3] == b"12345678"
        client.wait_frame(DATA, stream=1)
        assert client.goaway_error() is None


def test_another_protocol_is_not_answered(gateway):
    with Frames(gateway, preface=False) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        client.wait_end(5)


def test_h2spec(gateway):
    """The public suite, where it is installed."""
    tool = os.environ.get("H2SPEC") or shutil.which("h2spec")
    if not tool:
        pytest.skip("there is no h2spec here; H2SPEC names one")
    result = subprocess.run([tool, "-h", "localhost", "-p", str(gateway.https_port), "--tls", "--insecure", "--strict", "--timeout", "5"], capture_output=True,
                            text=True, timeout=200, check=False)
    assert "147 tests, 147 passed, 0 skipped, 0 failed" in result.stdout, result.stdout[-3000:]
