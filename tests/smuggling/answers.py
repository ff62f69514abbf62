"""Answers of an upstream that are malformed, truncated, or more than was asked for.

What reaches the client is an error of the proxy's own, a connection that ends before the message does, or, where a recipient
may mend what it got, exactly one of `readings`. What hangs behind an answer is never another client's.
"""
from dataclasses import dataclass

OK = b"HTTP/1.1 200 OK\r\n"
FIVE = b"Content-Length: 5\r\n\r\nhello"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
STOLEN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nstolen"
HELLO = (200, b"hello")
EMPTY = (200, b"")


@dataclass(frozen=True)
class Answer:
    """readings: (status, body) that may reach the client. end: what the upstream does behind `data`: keep, close, reset, or
    late (sends STOLEN a moment later, when the connection is idle). absent: names that may not reach the client."""
    name: str
    section: str
    data: bytes
    readings: tuple = ()
    end: str = "keep"
    method: str = "GET"
    version: str = "1.1"
    absent: tuple = ()


def bad(name, section, data, *readings, **more):
    return Answer(name, section, data, tuple(readings), **more)


S4, S63, S61, S7, S5, S22, S86 = ("RFC 9112 section 4", "RFC 9112 section 6.3", "RFC 9112 section 6.1", "RFC 9112 section 7.1", "RFC 9112 section 5",
                                  "RFC 9112 section 2.2", "RFC 9110 section 8.6")
CHUNK = OK + CHUNKED + b"\r\n"

LENGTHS = [
    bad("cl-twice", S63, OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    bad("cl-twice-0", S63, OK + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello"),
    bad("cl-twice-equal", S63, OK + b"Content-Length: 5\r\n" + FIVE, HELLO), bad("cl-list", S63, OK + b"Content-Length: 5, 6\r\n\r\nhello!"),
    bad("cl-list-equal", S63, OK + b"Content-Length: 5, 5\r\n\r\nhello", HELLO),
    *[bad("cl-" + name, S86, OK + b"Content-Length: " + value + b"\r\n\r\nhello", end="close") for name, value in (
        ("word", b"five"), ("minus", b"-5"), ("plus", b"+5"), ("hex", b"0x5"), ("empty", b""), ("decimal", b"5.0"), ("blank", b"5 0"), ("letter", b"5a"),
        ("quoted", b'"5"'), ("overflow", b"99999999999999999999"), ("overflow-wraps", b"18446744073709551621"), ("nul", b"5\0"), ("high", b"\xb5"))],
    bad("cl-blank-before-colon", "RFC 9112 section 5.1", OK + b"Content-Length : 5\r\n\r\nhello", HELLO, end="close"),
    bad("cl-folded", "RFC 9112 section 5.2", OK + b"Content-Length:\r\n 5\r\n\r\nhello", HELLO),
    bad("cl-too-short", S63, OK + b"Content-Length: 3\r\n\r\nhello", (200, b"hel")),
    bad("cl-0-with-body", S63, OK + b"Content-Length: 0\r\n\r\n" + STOLEN, EMPTY),
    bad("cl-then-another-answer", S63, OK + FIVE + STOLEN, HELLO), bad("cl-then-another-answer-late", S63, OK + FIVE, HELLO, end="late"),
    bad("cl-then-garbage", S63, OK + FIVE + b"\0\1\2\r\n\r\n", HELLO),
]

CODINGS = [
    bad("cl-te", S63, OK + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n", EMPTY),
    bad("te-cl", S63, OK + CHUNKED + b"Content-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n", HELLO),
    bad("cl-te-hidden", S63, OK + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + STOLEN, EMPTY),
    bad("te-twice", S61, OK + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n"),
    bad("te-http10", S61, b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n", HELLO, end="close"),
    *[bad("te-" + name, S61, OK + b"Transfer-Encoding: " + value + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n", end="close") for name, value in (
        ("xchunked", b"xchunked"), ("gzip-chunked", b"gzip, chunked"), ("chunked-gzip", b"chunked, gzip"), ("chunked-identity", b"chunked, identity"),
        ("identity-chunked", b"identity, chunked"), ("chunked-chunked", b"chunked, chunked"), ("quoted", b'"chunked"'), ("parameter", b"chunked;a"), ("nul",
                 b"chunked\0"))],
    bad("te-identity-cl", S61, OK + b"Transfer-Encoding: identity\r\n" + FIVE),
    bad("te-blank-before-colon", "RFC 9112 section 5.1", OK + b"Transfer-Encoding : chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", HELLO, end="close"),
    bad("te-folded", "RFC 9112 section 5.2", OK + b"Transfer-Encoding:\r\n chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", HELLO, end="close"),
]

CHUNKS = [
    *[bad("chunk-" + name, S7, CHUNK + data, *readings, end="close") for name, data, *readings in (
        ("letters", b"5\r\nhello\r\nzz\r\n\r\n"), ("prefix", b"0x5\r\nhello\r\n0\r\n\r\n"), ("minus", b"-5\r\nhello\r\n0\r\n\r\n"), ("plus",
                 b"+5\r\nhello\r\n0\r\n\r\n"),
        ("empty-size", b"\r\nhello\r\n0\r\n\r\n"), ("blank-before", b" 5\r\nhello\r\n0\r\n\r\n"), ("blank-behind", b"5 \r\nhello\r\n0\r\n\r\n", HELLO),
        ("overflow", b"10000000000000005\r\nhello\r\n0\r\n\r\n"), ("overflow-wraps", b"ffffffffffffffff5\r\nhello\r\n0\r\n\r\n"), ("too-short",
                 b"6\r\nhello\r\n0\r\n\r\n"),
        ("too-long", b"5\r\nhello!\r\n0\r\n\r\n"), ("data-lf", b"5\r\nhello\n0\r\n\r\n"), ("data-no-end", b"5\r\nhello0\r\n\r\n"), ("data-two-bytes",
                 b"5\r\nhelloXX0\r\n\r\n"),
        ("size-cr", b"5\rXhello\r\n0\r\n\r\n"), ("size-lf", b"5\nhello\r\n0\r\n\r\n", HELLO), ("all-lf", b"5\nhello\n0\n\n", HELLO), ("size-nul",
                 b"5\0\r\nhello\r\n0\r\n\r\n"),
        ("trailer-nul", b"5\r\nhello\r\n0\r\nX: a\0\r\n\r\n", HELLO), ("trailer-no-colon", b"5\r\nhello\r\n0\r\nX\r\n\r\n", HELLO),
        ("trailer-framing", b"5\r\nhello\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\r\n", HELLO))],
    bad("chunk-then-another-answer", S7, CHUNK + b"5\r\nhello\r\n0\r\n\r\n" + STOLEN, HELLO),
    bad("chunk-then-another-answer-late", S7, CHUNK + b"5\r\nhello\r\n0\r\n\r\n", HELLO, end="late"),
    bad("chunk-trailer-huge", S7, CHUNK + b"5\r\nhello\r\n0\r\n" + b"X: a\r\n" * 100000 + b"\r\n", HELLO),
    bad("chunk-extension-huge", "RFC 9112 section 7.1.1", CHUNK + b"5;" + b"a" * 1000000 + b"\r\nhello\r\n0\r\n\r\n", HELLO),
]

TRUNCATED = [
    bad("cut-" + name, S63, data, end=end, version=version) for name, data in (
        ("nothing", b""), ("status-line", b"HTTP/1.1 200"), ("head", OK + b"Content-Le"), ("head-end", OK + b"Content-Length: 5\r\n"),
                 ("length", OK + b"Content-Length: 10\r\n\r\nhello"),
        ("length-empty", OK + b"Content-Length: 10\r\n\r\n"), ("chunk", CHUNK + b"10\r\nhello"), ("chunks", CHUNK + b"5\r\nhello\r\n"),
                 ("chunk-size", CHUNK + b"5\r\nhello\r\n1"),
        ("last-chunk", CHUNK + b"5\r\nhello\r\n0"), ("last-chunk-end", CHUNK + b"5\r\nhello\r\n0\r\n"), ("trailer", CHUNK + b"5\r\nhello\r\n0\r\nX: a"),
        ("interim", b"HTTP/1.1 103 Early Hints\r\n\r\n"), ("interim-half", b"HTTP/1.1 103 Early"))
    for end, version in (("close", "1.1"),)] + [
    bad("reset-length", S63, OK + b"Content-Length: 10\r\n\r\nhello", end="reset"), bad("reset-chunks", S63, CHUNK + b"5\r\nhello\r\n", end="reset"),
    bad("reset-until-close", "RFC 9112 section 8", OK + b"\r\nhello", HELLO, end="reset"), bad("reset-head", S63, OK, end="reset"),
    bad("cut-length-http10", S63, OK + b"Content-Length: 10\r\n\r\nhello", end="close", version="1.0"),
]

STATUS_LINES = [bad("status-" + name, S4, data + b"\r\n" + FIVE, *readings, end="close") for name, data, *readings in (
    ("garbage", b"\0\1\2 nonsense"), ("ssh", b"SSH-2.0-OpenSSH_9.2"), ("html", b"<html>"), ("http-2", b"HTTP/2.0 200 OK"), ("http-09", b"HTTP/0.9 200 OK"),
    ("http-1", b"HTTP/1 200 OK"), ("http-1.x", b"HTTP/1.x 200 OK"), ("lower-case", b"http/1.1 200 OK"), ("no-version", b"200 OK"), ("icy", b"ICY 200 OK"),
             ("two-blanks", b"HTTP/1.1  200 OK", HELLO),
    ("tab", b"HTTP/1.1\t200 OK", HELLO), ("leading-blank", b" HTTP/1.1 200 OK"), ("word", b"HTTP/1.1 abc OK"), ("2-digits", b"HTTP/1.1 20 OK"), ("4-digits",
             b"HTTP/1.1 2000 OK"),
    ("42", b"HTTP/1.1 042 OK"), ("099", b"HTTP/1.1 099 OK"), ("600", b"HTTP/1.1 600 OK"), ("999", b"HTTP/1.1 999 OK"), ("minus", b"HTTP/1.1 -20 OK"), ("plus",
             b"HTTP/1.1 +20 OK"), ("missing", b"HTTP/1.1"),
    ("nul-in-reason", b"HTTP/1.1 200 O\0K", HELLO), ("control-in-reason", b"HTTP/1.1 200 O\x01K", HELLO), ("cr-in-reason",
             b"HTTP/1.1 200 O\rSet-Cookie: a=b", HELLO),
    ("request", b"GET / HTTP/1.1"), ("folded", b"HTTP/1.1\r\n 200 OK"), ("empty-line-first", b"\r\nHTTP/1.1 200 OK", HELLO), ("digit-behind",
             b"HTTP/1.1 200x OK"))] + [
    bad("http-09", "RFC 9112 section 2.3", b"<html>hello</html>\r\n", end="close"),
    bad("status-long", S4, b"HTTP/1.1 200 " + b"a" * 300000 + b"\r\n" + FIVE, HELLO),
]

FIELDS = [bad("field-" + name, S5, OK + data + b"\r\n" + FIVE, *readings, end="close") for name, data, *readings in (
    ("nul", b"X: a\0b"), ("control", b"X: a\x01b"), ("delete", b"X: a\x7fb"), ("escape", b"X: \x1b[2J"), ("cr", b"X: a\rSet-Cookie: b=c", HELLO), ("cr-end",
             b"X: a\r", HELLO), ("nul-in-name", b"X\0Y: a", HELLO),
    ("blank-before-colon", b"X : a", HELLO), ("blank-in-name", b"X Y: a", HELLO), ("no-colon", b"X", HELLO), ("no-name", b": a", HELLO), ("high-in-name",
             b"X\xe9: a", HELLO), ("folded", b"X: a\r\n b", HELLO),
    ("folded-injection", b"X: a\r\n Set-Cookie: b=c", HELLO), ("first-blank", b" X: a", HELLO), ("lf", b"X: a\nY: b", HELLO), ("lf-cr", b"X: a\n\rY: b", HELLO),
             ("parentheses-in-name", b"X(): a", HELLO),
    ("connection-malformed", b"Connection: a b", HELLO), ("upgrade-malformed", b"Upgrade: a b", HELLO))] + [
    bad("field-connection-names-length", "RFC 9110 section 7.6.1", OK + b"Connection: Content-Length\r\n" + FIVE, HELLO),
    bad("field-named-by-connection", "RFC 9110 section 7.6.1", OK + b"Connection: X-Secret\r\nX-Secret: 1\r\n" + FIVE, HELLO, absent=("x-secret",)),
    bad("field-keep-alive", "RFC 9110 section 7.6.1", OK + b"Keep-Alive: timeout=5\r\n" + FIVE, HELLO, absent=("keep-alive",)),
    bad("lines-lf", S22, b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", HELLO),
    bad("lines-cr", S22, b"HTTP/1.1 200 OK\rContent-Length: 5\r\rhello", end="close"),
    bad("lines-last-lf", S22, OK + b"Content-Length: 5\r\n\nhello", HELLO),
    bad("head-huge", S5, OK + b"X: " + b"a" * 1000000 + b"\r\n" + FIVE, HELLO),
    bad("head-many", S5, OK + b"".join(b"X-%d: a\r\n" % number for number in range(50000)) + FIVE, HELLO),
    bad("upgrade-unasked-200", "RFC 9110 section 7.8", OK + b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + FIVE, HELLO, absent=("upgrade",)),
]

BODILESS = [
    bad("204-with-body", "RFC 9110 section 15.3.5", b"HTTP/1.1 204 No Content\r\n\r\n" + STOLEN, (204, b"")),
    bad("204-with-length", S86, b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", (204, b"")),
    bad("204-with-coding", S61, b"HTTP/1.1 204 No Content\r\n" + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n", (204, b"")),
    bad("204-late", "RFC 9110 section 15.3.5", b"HTTP/1.1 204 No Content\r\n\r\n", (204, b""), end="late"),
    bad("304-with-body", "RFC 9110 section 15.4.5", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 98\r\n\r\n" + STOLEN, (304, b"")),
    bad("304-with-chunks", "RFC 9110 section 15.4.5", b"HTTP/1.1 304 Not Modified\r\n" + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n", (304, b"")),
    bad("304-late", "RFC 9110 section 15.4.5", b"HTTP/1.1 304 Not Modified\r\n\r\n", (304, b""), end="late"),
    bad("head-with-body", "RFC 9110 section 9.3.2", OK + b"Content-Length: 90\r\n\r\n" + STOLEN, EMPTY, method="HEAD"),
    bad("head-with-chunks", "RFC 9110 section 9.3.2", CHUNK + b"5\r\nhello\r\n0\r\n\r\n", EMPTY, method="HEAD"),
    bad("head-late", "RFC 9110 section 9.3.2", OK + b"Content-Length: 90\r\n\r\n", EMPTY, method="HEAD", end="late"),
    bad("head-cl-te", S63, OK + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n", EMPTY, method="HEAD"),
]

INTERIM = [
    bad("100-unasked", "RFC 9110 section 15.2.1", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + FIVE, HELLO),
    bad("103-to-http10", "RFC 9110 section 15.2", b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + FIVE, HELLO, version="1.0"),
    bad("101-unasked", "RFC 9110 section 15.2.2", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw"),
    bad("101-without-upgrade", "RFC 9110 section 15.2.2", b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK + FIVE),
    bad("103-with-body", "RFC 9110 section 15.2", b"HTTP/1.1 103 Early Hints\r\n\r\nhello" + OK + FIVE),
    bad("103-with-length", S86, b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + OK + FIVE, HELLO),
    bad("103-with-coding", S61, b"HTTP/1.1 103 Early Hints\r\n" + CHUNKED + b"\r\n" + OK + FIVE, HELLO),
    bad("103-with-length-body", S86, b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello" + OK + FIVE),
    bad("103-malformed", S5, b"HTTP/1.1 103 Early Hints\r\nX: a\0\r\n\r\n" + OK + FIVE),
    bad("199", "RFC 9110 section 15.2", b"HTTP/1.1 199 Odd\r\n\r\n" + OK + FIVE, HELLO),
    bad("100-flood", "RFC 9110 section 15.2", b"HTTP/1.1 100 Continue\r\n\r\n" * 20000 + OK + FIVE, HELLO),
    bad("103-flood", "RFC 9110 section 15.2", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20000 + OK + FIVE),
]

CASES = [*LENGTHS, *CODINGS, *CHUNKS, *TRUNCATED, *STATUS_LINES, *FIELDS, *BODILESS, *INTERIM]
