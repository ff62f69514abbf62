"""Requests of HTTP/2 that turn into something else when they are written down as HTTP/1.1 for the upstream (RFC 9113
section 8.2 and 8.3). Headers are bytes as a careless client would send them; http2.py puts them into frames.

A request is refused by a reset of its stream, an error of the connection or an answer of 4xx; or it is forwarded in exactly
one form.
"""
from dataclasses import dataclass

from case import SMUGGLED, read

FIELDS, PSEUDO, SPECIFIC, LENGTHS = "RFC 9113 section 8.2.1", "RFC 9113 section 8.3.1", "RFC 9113 section 8.2.2", "RFC 9113 section 8.1.1"
BARE = [read()]
EMPTY = [read("POST")]
ONE = [read("POST", body=b"hello")]


@dataclass(frozen=True)
class Downgrade:
    """fields: (name, value) in order; body: DATA frames; trailers: a second block, or None. The rest as in case.Case."""
    name: str
    section: str
    fields: tuple
    readings: tuple = ()
    body: tuple = ()
    trailers: tuple | None = None
    absent: tuple = ()
    hosts: tuple = ()
    legal: bool = False


def pseudo(method=b"GET", path=b"/case", scheme=b"https", authority=b"secure.test"):
    """The four pseudo-header fields; None leaves one out."""
    pairs = ((b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", path))
    return tuple(pair for pair in pairs if pair[1] is not None)


def h2(name, section, fields, *readings, **more):
    return Downgrade(name, section, tuple(fields), tuple(readings), **more)


def with_fields(name, section, *fields, readings=(), **more):
    return h2(name, section, (*pseudo(), *fields), *readings, **more)


def with_body(name, section, *fields, body=(b"hello",), readings=(), **more):
    return h2(name, section, (*pseudo(b"POST"), *fields), *readings, body=tuple(body), **more)


LINE = {"cr": b"\r", "lf": b"\n", "crlf": b"\r\n", "nul": b"\0"}
INJECTION = b"\r\nTransfer-Encoding: chunked\r\nX: y"
REQUEST = b"\r\n\r\n" + SMUGGLED

VALUES = [
    *[with_fields(f"value-{name}", FIELDS, (b"x-a", b"b" + byte + b"c")) for name, byte in LINE.items()],
    *[with_fields(f"value-{name}-first", FIELDS, (b"x-a", byte + b"c")) for name, byte in LINE.items()],
    *[with_fields(f"value-{name}-last", FIELDS, (b"x-a", b"b" + byte)) for name, byte in LINE.items()],
    with_fields("value-injects-coding", FIELDS, (b"x-a", b"b" + INJECTION)), with_fields("value-injects-request", FIELDS, (b"x-a", b"b" + REQUEST)),
    with_fields("value-injects-request-lf", FIELDS, (b"x-a", b"b\n\n" + SMUGGLED)),
    with_fields("value-injects-host", FIELDS, (b"x-a", b"b\r\nHost: evil.test")),
    with_fields("value-control", "RFC 9110 section 5.5", (b"x-a", b"b\x01c")), with_fields("value-delete", "RFC 9110 section 5.5", (b"x-a", b"b\x7fc")),
    with_fields("value-blank-first", FIELDS, (b"x-a", b" b"), readings=[BARE]), with_fields("value-blank-last", FIELDS, (b"x-a", b"b "), readings=[BARE]),
    with_fields("value-tab-first", FIELDS, (b"x-a", b"\tb"), readings=[BARE]), with_fields("cookie-injects", FIELDS, (b"cookie", b"a=b" + INJECTION)),
    with_fields("cookie-crumb-injects", FIELDS, (b"cookie", b"a=b"), (b"cookie", b"c=d" + REQUEST)),
    with_fields("user-agent-injects", FIELDS, (b"user-agent", b"a" + REQUEST)),
]

NAMES = [
    *[with_fields(f"name-{name}", FIELDS, (b"x" + byte + b"a", b"b")) for name, byte in LINE.items()],
    with_fields("name-injects-coding", FIELDS, (b"x: y\r\ntransfer-encoding: chunked\r\nz", b"b")),
    with_fields("name-injects-request", FIELDS, (b"x: y\r\n\r\nGET /smuggled HTTP/1.1\r\nHost", b"shop.test")),
    with_fields("name-upper-case", FIELDS, (b"X-A", b"b")), with_fields("name-upper-case-inside", FIELDS, (b"x-A", b"b")),
    with_fields("name-coding-upper-case", FIELDS, (b"Transfer-Encoding", b"chunked")),
    with_fields("name-length-upper-case", FIELDS, (b"Content-Length", b"5")), with_fields("name-host-upper-case", FIELDS, (b"Host", b"evil.test")),
    with_fields("name-colon", FIELDS, (b"x:a", b"b")), with_fields("name-colon-last", FIELDS, (b"x-a:", b"b")),
    with_fields("name-coding-colon", FIELDS, (b"transfer-encoding:", b"chunked")),
    with_fields("name-coding-in-name", FIELDS, (b"transfer-encoding: chunked\r\nx", b"y")), with_fields("name-blank", FIELDS, (b"x a", b"b")),
    with_fields("name-blank-last", FIELDS, (b"x-a ", b"b")), with_fields("name-coding-blank", FIELDS, (b"transfer-encoding ", b"chunked")),
    with_fields("name-blank-first", FIELDS, (b" x-a", b"b")),
    with_fields("name-tab", FIELDS, (b"x\ta", b"b")), with_fields("name-empty", FIELDS, (b"", b"b")), with_fields("name-high", FIELDS, (b"x\xe9", b"b")),
    with_fields("name-delete", FIELDS, (b"x\x7f", b"b")),
    with_fields("name-brackets", "RFC 9110 section 5.1", (b"x[1]", b"b"), readings=[BARE]),
    with_fields("name-slash", "RFC 9110 section 5.1", (b"x/a", b"b"), readings=[BARE]),
    with_fields("name-quote", "RFC 9110 section 5.1", (b'x"a', b"b"), readings=[BARE]),
    with_fields("name-underscore", "RFC 3875 section 4.1.18", (b"transfer_encoding", b"chunked"), readings=[BARE], absent=("transfer_encoding",)),
    with_fields("name-underscore-length", "RFC 3875 section 4.1.18", (b"content_length", b"43"), readings=[BARE], absent=("content_length",)),
]

CONNECTION = [
    with_fields("connection", SPECIFIC, (b"connection", b"close")), with_fields("connection-keep-alive", SPECIFIC, (b"connection", b"keep-alive")),
    with_fields("keep-alive", SPECIFIC, (b"keep-alive", b"timeout=5")),
    with_fields("proxy-connection", SPECIFIC, (b"proxy-connection", b"keep-alive")), with_fields("upgrade", SPECIFIC, (b"upgrade", b"h2c")),
    with_fields("upgrade-websocket", SPECIFIC, (b"connection", b"upgrade"), (b"upgrade", b"websocket")),
    with_fields("te-chunked", SPECIFIC, (b"te", b"chunked")), with_fields("te-gzip", SPECIFIC, (b"te", b"gzip")),
    with_fields("te-trailers-gzip", SPECIFIC, (b"te", b"trailers, gzip")),
    with_fields("connection-names-host", SPECIFIC, (b"connection", b"host")),
    with_fields("connection-names-length", SPECIFIC, (b"connection", b"content-length")),
    with_body("coding", SPECIFIC, (b"transfer-encoding", b"chunked")),
    with_body("coding-with-length", SPECIFIC, (b"transfer-encoding", b"chunked"), (b"content-length", b"5")),
    with_body("coding-identity", SPECIFIC, (b"transfer-encoding", b"identity")),
    with_body("coding-hidden", SPECIFIC, (b"transfer-encoding", b"chunked"), body=(b"0\r\n\r\n" + SMUGGLED,)),
    with_fields("coding-of-get", SPECIFIC, (b"transfer-encoding", b"chunked")), with_fields("coding-empty", SPECIFIC, (b"transfer-encoding", b"")),
]

BODIES = [
    with_body("length-too-short", LENGTHS, (b"content-length", b"3")), with_body("length-too-long", LENGTHS, (b"content-length", b"10")),
    with_body("length-0", LENGTHS, (b"content-length", b"0")),
    with_body("length-0-hidden", LENGTHS, (b"content-length", b"0"), body=(SMUGGLED,)),
    with_body("length-short-hidden", LENGTHS, (b"content-length", b"5"), body=(b"hello" + SMUGGLED,)),
    with_body("length-twice", LENGTHS, (b"content-length", b"5"), (b"content-length", b"6")),
    with_body("length-twice-equal", LENGTHS, (b"content-length", b"5"), (b"content-length", b"5"), readings=[ONE]),
    with_body("length-list", LENGTHS, (b"content-length", b"5, 5"), readings=[ONE]), with_body("length-list-different", LENGTHS, (b"content-length", b"5, 6")),
    *[with_body("length-" + name, LENGTHS, (b"content-length", value)) for name, value in (
        ("plus", b"+5"), ("minus", b"-5"), ("hex", b"0x5"), ("word", b"five"), ("empty", b""), ("decimal", b"5.0"), ("blank", b"5 "), ("blank-inside", b"5 5"),
                 ("overflow", b"18446744073709551621"), ("crlf", b"5\r\n"), ("nul", b"5\0"))],
    with_fields("length-of-get-without-body", LENGTHS, (b"content-length", b"5")),
    with_body("length-two-frames-short", LENGTHS, (b"content-length", b"3"), body=(b"he", b"llo")),
    with_body("length-two-frames-long", LENGTHS, (b"content-length", b"7"), body=(b"he", b"llo")),
    with_body("trailers-pseudo", "RFC 9113 section 8.1", body=(b"hello",), trailers=((b":path", b"/smuggled"),)),
    with_body("trailers-upper-case", FIELDS, trailers=((b"X-Sum", b"1"),)),
    with_body("trailers-length", "RFC 9110 section 6.5.1", trailers=((b"content-length", b"43"),), readings=[ONE]),
    with_body("trailers-coding", SPECIFIC, trailers=((b"transfer-encoding", b"chunked"),), readings=[ONE]),
    with_body("trailers-injects", FIELDS, trailers=((b"x-sum", b"1\r\n\r\n" + SMUGGLED),)),
    with_body("trailers-host", "RFC 9110 section 6.5.1", trailers=((b"host", b"evil.test"),), readings=[ONE]),
    with_body("expect-odd", "RFC 9110 section 10.1.1", (b"expect", b"x"), readings=[ONE]),
]

PSEUDO_FIELDS = [
    h2("method-missing", PSEUDO, pseudo(method=None)), h2("path-missing", PSEUDO, pseudo(path=None)), h2("scheme-missing", PSEUDO, pseudo(scheme=None)),
    h2("authority-missing", PSEUDO, pseudo(authority=None)),
    h2("pseudo-none", PSEUDO, ((b"x-a", b"b"),)), h2("method-twice", PSEUDO, (*pseudo(), (b":method", b"POST"))),
    h2("path-twice", PSEUDO, (*pseudo(), (b":path", b"/smuggled"))),
    h2("scheme-twice", PSEUDO, (*pseudo(), (b":scheme", b"http"))), h2("authority-twice", PSEUDO, (*pseudo(), (b":authority", b"evil.test"))),
    h2("pseudo-behind-field", PSEUDO, ((b"x-a", b"b"), *pseudo())),
    h2("path-behind-field", PSEUDO, (*pseudo(path=None), (b"x-a", b"b"), (b":path", b"/case"))), h2("pseudo-unknown", PSEUDO, (*pseudo(), (b":x", b"y"))),
    h2("pseudo-status", PSEUDO, (*pseudo(), (b":status", b"200"))),
    h2("pseudo-empty", PSEUDO, (*pseudo(), (b":", b"y"))), h2("pseudo-protocol-of-get", "RFC 8441 section 4", (*pseudo(), (b":protocol", b"websocket"))),
    h2("pseudo-upper-case", PSEUDO, (*pseudo(path=None), (b":Path", b"/case"))),
    *[h2("method-" + name, PSEUDO, pseudo(method=value)) for name, value in (
        ("empty", b""), ("blank", b"GET "), ("injects", b"GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\nGET"), ("line", b"GET /smuggled HTTP/1.1"), ("lf",
                 b"GET\n"), ("nul", b"GET\0"), ("colon", b"GET:"), ("high", b"G\xcbT"))],
    h2("method-lower-case", "RFC 9110 section 9.1", pseudo(method=b"get"), [read("get")]),
    *[h2("path-" + name, PSEUDO, pseudo(path=value), *([[read("GET", targets)]] if targets else [])) for name, value, *targets in (
        ("empty", b""), ("no-slash", b"case"), ("blank", b"/case x", "/case%20x"), ("line", b"/case HTTP/1.1", "/case%20HTTP/1.1"), ("injects",
                 b"/case HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX: y"),
        ("injects-request", b"/case HTTP/1.1\r\nHost: shop.test\r\n\r\nGET /smuggled"), ("crlf", b"/case\r\n"), ("cr", b"/ca\rse"), ("lf", b"/ca\nse"), ("nul",
                 b"/case\0"), ("tab", b"/case\tx"), ("delete", b"/case\x7f"),
        ("high", b"/case\xff", "/case%FF", "/case%ff"), ("hash", b"/case#smuggled", "/case", "/case%23smuggled"), ("asterisk", b"*"), ("absolute",
                 b"https://evil.test/case"), ("leading-blank", b" /case"), ("at", b"@evil.test/case"), ("port", b":80/case"),
        ("query", b"?case"))],
    *[h2("scheme-" + name, PSEUDO, pseudo(scheme=value), *readings, hosts=("secure.test",)) for name, value, *readings in (
        ("empty", b""), ("path", b"https://secure.test/smuggled?"), ("injects", b"https\r\nX: y"), ("line",
                 b"http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n"), ("blank", b"https "), ("digits", b"123"), ("colon", b"https:"), ("nul", b"https\0"),
        ("other", b"ftp", BARE), ("http", b"http", BARE), ("upper-case", b"HTTPS", BARE))],
    *[h2("authority-" + name, PSEUDO, pseudo(authority=value), *readings) for name, value, *readings in (
        ("empty", b""), ("injects", b"secure.test\r\nTransfer-Encoding: chunked"), ("injects-request", b"secure.test\r\n\r\n" + SMUGGLED), ("path",
                 b"secure.test/smuggled"), ("user", b"user@secure.test"), ("user-other", b"secure.test@evil.test"),
        ("blank", b"secure.test evil.test"), ("lf", b"secure.test\n"), ("nul", b"secure.test\0"), ("port-letters", b"secure.test:x"), ("two-ports",
                 b"secure.test:443:80"), ("hash", b"secure.test#x"), ("query", b"secure.test?x"),
        ("backslash", b"secure.test\\x"), ("list", b"secure.test, evil.test"), ("open-bracket", b"[::1"), ("high", b"secur\xe9.test"), ("tab",
                 b"secure.test\t"))],
    h2("host-differs", PSEUDO, (*pseudo(), (b"host", b"evil.test")), BARE, hosts=("secure.test",)),
    h2("host-twice", PSEUDO, (*pseudo(authority=None), (b"host", b"secure.test"), (b"host", b"evil.test"))),
    h2("host-with-authority-twice", PSEUDO, (*pseudo(), (b"host", b"secure.test"), (b"host", b"evil.test")), BARE, hosts=("secure.test",)),
    h2("host-injects", FIELDS, (*pseudo(authority=None), (b"host", b"secure.test" + INJECTION))),
    h2("host-port-differs", PSEUDO, (*pseudo(), (b"host", b"secure.test:81")), BARE, hosts=("secure.test",)),
    h2("host-empty", PSEUDO, (*pseudo(), (b"host", b"")), BARE, hosts=("secure.test",)),
    h2("connect", "RFC 9113 section 8.5", ((b":method", b"CONNECT"), (b":authority", b"secure.test:80"))),
    h2("connect-with-path", "RFC 9113 section 8.5", pseudo(method=b"CONNECT")),
    h2("connect-injects", "RFC 9113 section 8.5", ((b":method", b"CONNECT"), (b":authority", b"secure.test:80 HTTP/1.1\r\nX: y"))),
    h2("connect-protocol-unknown", "RFC 8441 section 4", (*pseudo(method=b"CONNECT"), (b":protocol", b"x"))),
    h2("connect-protocol-injects", "RFC 8441 section 4", (*pseudo(method=b"CONNECT"), (b":protocol", b"websocket\r\nX: y"))),
    h2("trace", "RFC 9110 section 9.3.8", pseudo(method=b"TRACE"), [read("TRACE")]),
]

LEGAL = [
    h2("legal-get", PSEUDO, pseudo(), BARE, legal=True), with_body("legal-post", LENGTHS, (b"content-length", b"5"), readings=[ONE], legal=True),
    with_body("legal-post-no-length", LENGTHS, readings=[ONE], legal=True),
    with_body("legal-post-empty", LENGTHS, body=(b"",), readings=[EMPTY], legal=True),
    with_body("legal-trailers", "RFC 9113 section 8.1", trailers=((b"x-sum", b"1"),), readings=[ONE], legal=True),
    with_body("legal-body-like-a-request", LENGTHS, body=(SMUGGLED,), readings=[[read("POST", body=SMUGGLED)]], legal=True),
    with_body("legal-empty-frames", LENGTHS, body=(b"", b"he", b"", b"llo"), readings=[ONE], legal=True),
    with_fields("legal-cookies", "RFC 9113 section 8.2.3", (b"cookie", b"a=b"), (b"cookie", b"c=d"), readings=[BARE], legal=True),
    with_fields("legal-te-trailers", SPECIFIC, (b"te", b"trailers"), readings=[BARE], legal=True),
    h2("legal-host-alone", PSEUDO, (*pseudo(authority=None), (b"host", b"secure.test")), BARE, legal=True),
    h2("legal-host-equal", PSEUDO, (*pseudo(), (b"host", b"secure.test")), BARE, legal=True),
    h2("legal-authority-port", PSEUDO, pseudo(authority=b"secure.test:443"), BARE, legal=True),
    h2("legal-query", PSEUDO, pseudo(path=b"/case?a=b&c"), [read("GET", "/case?a=b&c")], legal=True),
    with_fields("legal-high-value", FIELDS, (b"x-a", b"\xe9\xff"), readings=[BARE], legal=True),
    with_fields("legal-empty-value", FIELDS, (b"x-a", b""), readings=[BARE], legal=True),
    with_fields("legal-odd-name", FIELDS, (b"x!#$%&'*+.^`|~", b"a"), readings=[BARE], legal=True),
    h2("legal-options-asterisk", PSEUDO, pseudo(method=b"OPTIONS", path=b"*"), [read("OPTIONS", "*")], legal=True),
]

CASES = [*VALUES, *NAMES, *CONNECTION, *BODIES, *PSEUDO_FIELDS]
