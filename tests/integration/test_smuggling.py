"""Requests that two servers could read differently: each is refused with 400 and the connection closed, or goes
upstream in exactly one unambiguous form. The upstream's strict reader is the judge.

Attacks named after the literature: CL.TE, TE.CL, TE.TE, CL.0, H-field obfuscation, chunk tricks, line ends, pipelining.
"""
import pytest

from harness.gateway import Gateway, tenant
from harness.http1 import Closed, Truncated
from harness.upstream import Upstream, echo

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n"
CHUNKED_SMUGGLE = b"0\r\n\r\n" + SMUGGLED


def post(*lines, body=b"", version=b"1.1", host=True):
    return (b"POST /case HTTP/" + version + b"\r\n" + (b"Host: shop.test\r\n" if host else b"") + b"".join(line + b"\r\n" for line in lines)
            + b"\r\n" + body)


def get(*lines, target=b"/case", host=b"Host: shop.test", body=b"", end=b"\r\n"):
    return b"GET " + target + b" HTTP/1.1" + end + ((host + end) if host else b"") + b"".join(line + end for line in lines) + end + body


REFUSED = {
    # Content-Length with Transfer-Encoding, either order, either winner
    "cl-te": post(b"Content-Length: 48", b"Transfer-Encoding: chunked", body=CHUNKED_SMUGGLE),
    "te-cl": post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"2b\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"),
    "cl-te-agreeing": post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "cl0-te": post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=CHUNKED_SMUGGLE),
    "te-cl-http10": post(b"Transfer-Encoding: chunked", b"Content-Length: 4", version=b"1.0", body=CHUNKED_SMUGGLE),
    # Transfer-Encoding in other dresses
    "te-xchunked": post(b"Transfer-Encoding: xchunked", body=CHUNKED_SMUGGLE),
    "te-xchunked-cl": post(b"Content-Length: 48", b"Transfer-Encoding: xchunked", body=CHUNKED_SMUGGLE),
    "te-chunkedx": post(b"Transfer-Encoding: chunkedx", body=CHUNKED_SMUGGLE),
    "te-identity": post(b"Transfer-Encoding: identity", body=SMUGGLED),
    "te-identity-cl": post(b"Transfer-Encoding: identity", b"Content-Length: 3", body=b"abc"),
    "te-chunked-identity": post(b"Transfer-Encoding: chunked, identity", body=CHUNKED_SMUGGLE),
    "te-identity-chunked": post(b"Transfer-Encoding: identity, chunked", body=CHUNKED_SMUGGLE),
    "te-gzip-chunked": post(b"Transfer-Encoding: gzip, chunked", body=CHUNKED_SMUGGLE),
    "te-chunked-gzip": post(b"Transfer-Encoding: chunked, gzip", body=CHUNKED_SMUGGLE),
    "te-gzip": post(b"Transfer-Encoding: gzip", body=SMUGGLED),
    "te-chunked-chunked": post(b"Transfer-Encoding: chunked, chunked", body=CHUNKED_SMUGGLE),
    "te-twice": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNKED_SMUGGLE),
    "te-twice-identity": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=CHUNKED_SMUGGLE),
    "te-twice-case": post(b"Transfer-Encoding: identity", b"transfer-encoding: chunked", body=CHUNKED_SMUGGLE),
    "te-quoted": post(b'Transfer-Encoding: "chunked"', body=CHUNKED_SMUGGLE),
    "te-parameter": post(b"Transfer-Encoding: chunked;q=1", body=CHUNKED_SMUGGLE),
    "te-empty": post(b"Transfer-Encoding: ", body=CHUNKED_SMUGGLE),
    "te-comma": post(b"Transfer-Encoding: ,chunked", body=CHUNKED_SMUGGLE),
    "te-trailing-comma": post(b"Transfer-Encoding: chunked,", body=CHUNKED_SMUGGLE),
    "te-blank-before-colon": post(b"Transfer-Encoding : chunked", body=CHUNKED_SMUGGLE),
    "te-tab-before-colon": post(b"Transfer-Encoding\t: chunked", body=CHUNKED_SMUGGLE),
    "te-leading-blank": post(b" Transfer-Encoding: chunked", body=CHUNKED_SMUGGLE),
    "te-leading-tab": post(b"\tTransfer-Encoding: chunked", body=CHUNKED_SMUGGLE),
    "te-folded": post(b"Transfer-Encoding:\r\n chunked", body=CHUNKED_SMUGGLE),
    "te-folded-tab": post(b"Transfer-Encoding:\r\n\tchunked", body=CHUNKED_SMUGGLE),
    "te-folded-behind": post(b"X: a\r\n Transfer-Encoding: chunked", body=CHUNKED_SMUGGLE),
    "te-vertical-tab": post(b"Transfer-Encoding:\x0bchunked", body=CHUNKED_SMUGGLE),
    "te-form-feed": post(b"Transfer-Encoding: chunked\x0c", body=CHUNKED_SMUGGLE),
    "te-nul": post(b"Transfer-Encoding: chunked\0", body=CHUNKED_SMUGGLE),
    "te-nul-in-name": post(b"Transfer\0-Encoding: chunked", body=CHUNKED_SMUGGLE),
    "te-high-blank": post(b"Transfer-Encoding:\xa0chunked", body=CHUNKED_SMUGGLE),
    "te-high-in-name": post(b"Transfer-Encoding\xff: chunked", body=CHUNKED_SMUGGLE),
    "te-bare-cr": post(b"X: a\rTransfer-Encoding: chunked", body=CHUNKED_SMUGGLE),
    "te-bare-lf": post(b"X: a\nTransfer-Encoding: chunked", body=CHUNKED_SMUGGLE),
    "te-lf-cr": post(b"X: a\n\rTransfer-Encoding: chunked", body=CHUNKED_SMUGGLE),
    "te-cr-cr-lf": post(b"X: a\r\r\nTransfer-Encoding: chunked", body=CHUNKED_SMUGGLE),
    "te-underscore": post(b"Transfer_Encoding: chunked", b"Content-Length: 48", body=CHUNKED_SMUGGLE),
    "te-no-colon": post(b"Transfer-Encoding chunked", body=CHUNKED_SMUGGLE),
    "te-http10": post(b"Transfer-Encoding: chunked", version=b"1.0", body=CHUNKED_SMUGGLE),
    "te-http10-keep-alive": post(b"Transfer-Encoding: chunked", b"Connection: keep-alive", version=b"1.0", body=CHUNKED_SMUGGLE),
    "te-on-get-with-cl": get(b"Content-Length: 48", b"Transfer-Encoding: chunked", body=CHUNKED_SMUGGLE),
    "te-utf-7": post(b"Transfer-Encoding: +AGM-hunked", body=CHUNKED_SMUGGLE),
    # Content-Length
    "cl-twice": post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello!"),
    "cl-twice-equal": post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
    "cl-twice-case": post(b"Content-Length: 0", b"content-length: 43", body=SMUGGLED),
    "cl-list": post(b"Content-Length: 5, 5", body=b"hello"),
    "cl-list-different": post(b"Content-Length: 0, 43", body=SMUGGLED),
    "cl-plus": post(b"Content-Length: +5", body=b"hello"),
    "cl-minus": post(b"Content-Length: -5", body=b"hello"),
    "cl-minus-zero": post(b"Content-Length: -0", body=b""),
    "cl-hex": post(b"Content-Length: 0x5", body=b"hello"),
    "cl-exponent": post(b"Content-Length: 1e1", body=b"hellohello"),
    "cl-decimal": post(b"Content-Length: 5.0", body=b"hello"),
    "cl-blank-inside": post(b"Content-Length: 1 0", body=b"hellohello"),
    "cl-underscored-digits": post(b"Content-Length: 1_0", body=b"hellohello"),
    "cl-empty": post(b"Content-Length: ", body=SMUGGLED),
    "cl-word": post(b"Content-Length: five", body=b"hello"),
    "cl-quoted": post(b'Content-Length: "5"', body=b"hello"),
    "cl-overflow-64": post(b"Content-Length: 18446744073709551621", body=b"hello"),
    "cl-overflow-63": post(b"Content-Length: 9223372036854775808", body=b"hello"),
    "cl-overflow-32": post(b"Content-Length: 99999999999999999999999999999999999999", body=b"hello"),
    "cl-nul": post(b"Content-Length: 5\0", body=b"hello"),
    "cl-nul-first": post(b"Content-Length: \x005", body=b"hello"),
    "cl-high-digit": post("Content-Length: ５".encode(), body=b"hello"),
    "cl-vertical-tab": post(b"Content-Length:\x0b5", body=b"hello"),
    "cl-blank-before-colon": post(b"Content-Length : 43", body=SMUGGLED),
    "cl-tab-before-colon": post(b"Content-Length\t: 43", body=SMUGGLED),
    "cl-folded": post(b"Content-Length:\r\n 43", body=SMUGGLED),
    "cl-folded-digits": post(b"Content-Length: 4\r\n 3", body=SMUGGLED),
    "cl-leading-blank": post(b" Content-Length: 43", body=SMUGGLED),
    "cl-underscore": post(b"Content_Length: 43", body=SMUGGLED),
    "cl-bare-lf": post(b"X: a\nContent-Length: 43", body=SMUGGLED),
    "cl-bare-cr": post(b"X: a\rContent-Length: 43", body=SMUGGLED),
    "cl-semicolon": post(b"Content-Length: 5;", body=b"hello"),
    "cl-comma": post(b"Content-Length: 5,", body=b"hello"),
    # Host
    "host-missing": get(host=None),
    "host-twice": get(b"Host: other.test"),
    "host-twice-equal": get(b"Host: shop.test"),
    "host-twice-case": get(b"hOST: other.test"),
    "host-list": get(host=b"Host: shop.test, other.test"),
    "host-blank-before-colon": get(host=b"Host : shop.test"),
    "host-leading-blank": get(host=b" Host: shop.test"),
    "host-folded": get(host=b"Host: shop.test\r\n .evil.test"),
    "host-user": get(host=b"Host: user@shop.test"),
    "host-path": get(host=b"Host: shop.test/x"),
    "host-blank": get(host=b"Host: shop.test other.test"),
    "host-port-letters": get(host=b"Host: shop.test:abc"),
    "host-two-ports": get(host=b"Host: shop.test:80:81"),
    "host-port-range": get(host=b"Host: shop.test:65536"),
    "host-open-bracket": get(host=b"Host: [::1"),
    "host-bracket-name": get(host=b"Host: [shop.test]"),
    "host-nul": get(host=b"Host: shop.test\0"),
    "host-backslash": get(host=b"Host: shop.test\\@evil.test"),
    "host-hash": get(host=b"Host: shop.test#evil"),
    "host-query": get(host=b"Host: shop.test?evil"),
    "host-percent": get(host=b"Host: shop%2etest"),
    "host-high": get(host=b"Host: sh\xc3\xb6p.test"),
    "host-differs-from-target": get(target=b"http://other.test/case"),
    # request line and line ends
    "line-bare-lf": get(end=b"\n"),
    "line-bare-lf-once": b"GET /case HTTP/1.1\nHost: shop.test\r\n\r\n",
    "line-end-lf": b"GET /case HTTP/1.1\r\nHost: shop.test\r\n\n",
    "line-bare-cr": get(end=b"\r"),
    "line-two-blanks": get(target=b" /case"),
    "line-tab": b"GET\t/case\tHTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "line-trailing-blank": b"GET /case HTTP/1.1 \r\nHost: shop.test\r\n\r\n",
    "line-leading-blank": b" GET /case HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "line-blank-in-target": get(target=b"/case HTTP/1.1 /x"),
    "line-vertical-tab": get(target=b"/case\x0bx"),
    "line-nul": get(target=b"/case\0x"),
    "line-method-colon": b"GET: /case HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "line-method-empty": b" /case HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "line-http09": b"GET /case\r\n\r\n",
    "line-version-11-blank": b"GET /case HTTP /1.1\r\nHost: shop.test\r\n\r\n",
    "line-version-digits": b"GET /case HTTP/01.1\r\nHost: shop.test\r\n\r\n",
    "line-version-missing-digit": b"GET /case HTTP/1.\r\nHost: shop.test\r\n\r\n",
    "line-version-two": b"GET /case HTTP/2.0\r\nHost: shop.test\r\n\r\n",
    "line-hash": get(target=b"/case#smuggled"),
    "line-high-byte": get(target=b"/case\xff"),
    "line-dots": get(target=b"/../case"),
    "line-encoded-dots": get(target=b"/%2e%2e/case"),
    "line-nul-encoded": get(target=b"/case%00"),
    "line-percent": get(target=b"/case%"),
    "line-percent-u": get(target=b"/case%u002e"),
    "fields-first-folded": b"GET /case HTTP/1.1\r\n Host: shop.test\r\n\r\n",
    "fields-no-name": get(b": value"),
    "fields-no-colon": get(b"value"),
    "fields-blank-in-name": get(b"X Y: value"),
    "fields-nul-in-value": get(b"X: a\0b"),
    "fields-control-in-value": get(b"X: a\x01b"),
    "fields-delete-in-value": get(b"X: a\x7fb"),
    "fields-cr-in-value": get(b"X: a\rb"),
    "fields-brackets-in-name": get(b"X[1]: a"),
    "fields-high-in-name": get(b"X\xe9: a"),
    # twice what the WAF and the upstream could pick differently
    "content-type-twice": post(b"Content-Type: text/plain", b"Content-Type: application/json", b"Content-Length: 2", body=b"{}"),
    "content-encoding-twice": post(b"Content-Encoding: identity", b"Content-Encoding: identity", b"Content-Length: 2", body=b"{}"),
    # chunk tricks
    "chunk-bare-lf": post(b"Transfer-Encoding: chunked", body=b"5\nhello\n0\n\n"),
    "chunk-size-bare-lf": post(b"Transfer-Encoding: chunked", body=b"5\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "chunk-end-bare-lf": post(b"Transfer-Encoding: chunked", body=b"5\r\nhello\n0\r\n\r\n" + SMUGGLED),
    "chunk-bare-cr": post(b"Transfer-Encoding: chunked", body=b"5\rhello\r0\r\r" + SMUGGLED),
    "chunk-prefix": post(b"Transfer-Encoding: chunked", body=b"0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk-plus": post(b"Transfer-Encoding: chunked", body=b"+5\r\nhello\r\n0\r\n\r\n"),
    "chunk-minus": post(b"Transfer-Encoding: chunked", body=b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk-leading-blank": post(b"Transfer-Encoding: chunked", body=b" 5\r\nhello\r\n0\r\n\r\n"),
    "chunk-underscore": post(b"Transfer-Encoding: chunked", body=b"0_5\r\nhello\r\n0\r\n\r\n"),
    "chunk-empty-size": post(b"Transfer-Encoding: chunked", body=b"\r\nhello\r\n0\r\n\r\n"),
    "chunk-overflow": post(b"Transfer-Encoding: chunked", body=b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "chunk-overflow-32": post(b"Transfer-Encoding: chunked", body=b"ffffffffffffffff5\r\nhello\r\n0\r\n\r\n"),
    "chunk-too-long": post(b"Transfer-Encoding: chunked", body=b"5\r\nhello!\r\n0\r\n\r\n"),
    "chunk-too-short": post(b"Transfer-Encoding: chunked", body=b"6\r\nhello\r\n0\r\n\r\n"),
    "chunk-letter": post(b"Transfer-Encoding: chunked", body=b"g\r\nhello\r\n0\r\n\r\n"),
    "chunk-nul": post(b"Transfer-Encoding: chunked", body=b"5\0\r\nhello\r\n0\r\n\r\n"),
    "chunk-extension-lf": post(b"Transfer-Encoding: chunked", body=b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "chunk-extension-cr": post(b"Transfer-Encoding: chunked", body=b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "chunk-extension-quoted-end": post(b"Transfer-Encoding: chunked", body=b'5;a="b\r\nhello\r\n0\r\n\r\n'),
    "chunk-last-lf": post(b"Transfer-Encoding: chunked", body=b"0\n\n" + SMUGGLED),
    "chunk-last-half": post(b"Transfer-Encoding: chunked", body=b"0\r\nX" + SMUGGLED.replace(b"\r\n\r\n", b"\n\n")),
    # Connection asks to hide framing from the next hop
    "connection-content-length": post(b"Connection: Content-Length", b"Content-Length: 43", body=SMUGGLED),
    "connection-transfer-encoding": post(b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked", body=CHUNKED_SMUGGLE),
    "connection-host": get(b"Connection: close, Host"),
}

ONE = [("POST", "/case", b"hello")]
BARE = [("GET", "/case", b"")]
TWO = [("POST", "/case", b""), ("GET", "/smuggled", b"")]

# What is odd and yet has one meaning: what the upstream must have got. A request behind it is an honest one.
FORWARDED = {
    "plain": (post(b"Content-Length: 5", body=b"hello"), ONE),
    "cl-leading-zeros": (post(b"Content-Length: 0005", body=b"hello"), ONE),
    "cl-many-blanks": (post(b"Content-Length:    5\t ", body=b"hello"), ONE),
    "cl-no-blank": (post(b"Content-Length:5", body=b"hello"), ONE),
    "cl-case": (post(b"CONTENT-LENGTH: 5", body=b"hello"), ONE),
    "cl-on-get": (get(b"Content-Length: 5", body=b"hello"), [("GET", "/case", b"hello")]),
    "cl-0-and-next": (post(b"Content-Length: 0", body=SMUGGLED), TWO),
    "no-framing-and-next": (post(body=SMUGGLED), TWO),
    "body-that-looks-like-a-request": (post(b"Content-Length: 43", body=SMUGGLED), [("POST", "/case", SMUGGLED)]),
    "te-case": (post(b"Transfer-Encoding: cHuNkEd", body=b"5\r\nhello\r\n0\r\n\r\n"), ONE),
    "te-blanks": (post(b"Transfer-Encoding: \t chunked \t", body=b"5\r\nhello\r\n0\r\n\r\n"), ONE),
    "te-and-next": (post(b"Transfer-Encoding: chunked", body=CHUNKED_SMUGGLE), TWO),
    "chunk-leading-zeros": (post(b"Transfer-Encoding: chunked", body=b"0005\r\nhello\r\n000\r\n\r\n"), ONE),
    "chunk-upper-case": (post(b"Transfer-Encoding: chunked", body=b"A\r\nhellohello\r\n0\r\n\r\n"), [("POST", "/case", b"hellohello")]),
    "chunk-extension": (post(b"Transfer-Encoding: chunked", body=b"5;a=b;c\r\nhello\r\n0;d\r\n\r\n"), ONE),
    "chunk-trailer-framing": (post(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nContent-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n"), ONE),
    "chunk-trailer-host": (post(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nHost: evil.test\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n"), ONE),
    "te-on-get": (get(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"), [("GET", "/case", b"hello")]),
    "empty-line-first": (b"\r\n" + get(), BARE),
    "absolute-form": (get(target=b"http://shop.test/case"), BARE),
    "header-name-odd-token": (get(b"X!#$%&'*+.^`|~: a"), BARE),
    "header-high-value": (get(b"X: \xe9\xff"), BARE),
    "header-tab-in-value": (get(b"X: a\tb"), BARE),
    "te-lookalike": (post(b"Transfer-Encodin: chunked", b"X-Transfer-Encoding: chunked", b"Content-Length: 5", body=b"hello"), ONE),
    "cl-lookalike": (post(b"Content-Lengt: 9", b"X-Content-Length: 9", b"Content-Length: 5", body=b"hello"), ONE),
}

# Refused or settled: both are sound.
EITHER = {
    "te-te-header": (post(b"TE: chunked", b"Content-Length: 5", body=b"hello"), ONE),
    "chunk-trailing-blank": (post(b"Transfer-Encoding: chunked", body=b"5 \r\nhello\r\n0\r\n\r\n"), ONE),
    "chunk-trailing-tab": (post(b"Transfer-Encoding: chunked", body=b"5\t\r\nhello\r\n0\r\n\r\n"), ONE),
    "connection-close-header": (post(b"Connection: Content-Type", b"Content-Type: text/plain", b"Content-Length: 5", body=b"hello"), ONE),
    "empty-lines-first": (b"\r\n\r\n" + get(), BARE),
    "expect-twice": (post(b"Expect: 100-continue", b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"), ONE),
    "method-lower-case": (b"get /case HTTP/1.1\r\nHost: shop.test\r\n\r\n", [("get", "/case", b"")]),
    "upgrade-h2c-body": (post(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk", b"Content-Length: 5", body=b"hello"), ONE),
    "content-length-on-http10": (post(b"Content-Length: 5", version=b"1.0", body=b"hello"), ONE),
    "host-trailing-dot": (get(host=b"Host: shop.test."), BARE),
    "absolute-form-other-case": (get(target=b"HTTP://SHOP.TEST/case"), BARE),
    "backslash": (get(target=b"/x\\..\\case"), [("GET", "/x\\..\\case", b"")]),
}


@pytest.fixture(scope="module")
def server():
    with Upstream(echo) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(server):
    with Gateway({"shop": tenant(upstream=server)}, {"workers": 1}) as running:
        yield running


@pytest.fixture(autouse=True)
def unambiguous(server):
    server.forget()
    server.violations.clear()
    yield
    assert server.violations == [], "the upstream got what it could not read in one way"


def deliver(connection, data, pieces):
    for at in range(0, len(data), pieces or len(data)):
        connection.try_send(data[at:at + (pieces or len(data))])


def refusal(gateway, data, pieces=None):
    """Everything that comes until the gateway closes. The client has nothing more to say: a head that never ends is over."""
    answers = []
    with gateway.connect() as connection:
        deliver(connection, data, pieces)
        connection.finish_sending()
        while not isinstance(outcome := connection.outcome(), (Closed, Truncated)):
            answers.append(outcome)
    return answers


def statuses(gateway, data, count, pieces=None):
    """The statuses of so many answers, or of fewer if the gateway closes; then the connection must fall silent."""
    found = []
    with gateway.connect() as connection:
        deliver(connection, data, pieces)
        while len(found) < count and not isinstance(outcome := connection.outcome(), (Closed, Truncated)):
            found.append(outcome.status)
        connection.finish_sending()
        connection.expect_closed()
    return found


def seen(gateway, server):
    """What the upstream got; a request of our own behind the others proves that there is nothing more to come."""
    assert gateway.request("/end").status == 200
    requests = [(request.method, request.target, request.body) for request in server.requests]
    assert requests.pop() == ("GET", "/end", b"")
    return requests


# Their head has no end that a strict reader recognises: closing without an answer is right too.
ENDLESS = {"line-bare-lf", "line-bare-cr", "line-end-lf"}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(gateway, server, name):
    answers = refusal(gateway, REFUSED[name])
    if answers or name not in ENDLESS:
        assert len(answers) == 1, answers
        expected = {400, 505} if "version" in name else {400, 413, 431} if "overflow" in name else {400}
        assert answers[0].status in expected
        assert answers[0].closes
    assert seen(gateway, server) == []


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_pieces(gateway, server, name):
    answers = refusal(gateway, REFUSED[name], pieces=5)
    assert len(answers) <= 1 and all(answer.closes and answer.status >= 400 for answer in answers), answers
    assert seen(gateway, server) == []


@pytest.mark.parametrize("pieces", [None, 3])
@pytest.mark.parametrize("name", FORWARDED)
def test_forwarded(gateway, server, name, pieces):
    data, expected = FORWARDED[name]
    assert statuses(gateway, data, len(expected), pieces) == [200] * len(expected)
    assert seen(gateway, server) == expected


@pytest.mark.parametrize("name", EITHER)
def test_refused_or_settled(gateway, server, name):
    data, expected = EITHER[name]
    found = statuses(gateway, data, len(expected))
    if found in ([400], [417]):
        assert seen(gateway, server) == []
    else:
        assert found == [200] * len(expected)
        assert seen(gateway, server) == expected


@pytest.mark.parametrize("host", [b"Host:", b"Host: ", b"Host: shop..test", b"Host: .", b"Host: .shop.test", b"Host: -", b"Host: :80"])
def test_hosts_of_nobody(gateway, server, host):
    answers = refusal(gateway, get(host=host))
    assert [answer.status for answer in answers] in ([400], [404])
    assert seen(gateway, server) == []


def test_upstream_connection_is_never_shared_with_the_rest_of_a_refused_request(gateway, server):
    """A refused request in between honest ones of other clients, all through one pooled connection."""
    for name in ("cl-te", "te-cl", "chunk-end-bare-lf", "chunk-too-long"):
        server.forget()
        assert gateway.request("/before").status == 200
        refusal(gateway, REFUSED[name])
        assert gateway.request("/after").status == 200
        assert [request.target for request in server.requests] == ["/before", "/after"]


def test_there_are_at_least_a_hundred():
    assert len(REFUSED) + len(EITHER) >= 100


def test_refusals_are_counted(gateway):
    before = gateway.metric("gatehouse_local_replies_total", reason="malformed")
    refusal(gateway, REFUSED["cl-te"])
    gateway.wait_metric(before + 1, "gatehouse_local_replies_total", reason="malformed")
