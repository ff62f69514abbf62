"""Requests that look odd, are legal, have one meaning, and must reach the upstream with it."""
from case import BARE, CHUNKED, EMPTY, FIVE, HELLO_GET, HIDDEN, ONE, SMUGGLED, TWO, case, chunks, get, head, post, read


def legal(name, section, data, *readings, **more):
    return case(name, section, data, *readings, legal=True, **more)


MANY = b", ".join([b"x"] * 500)
WEBSOCKET = (b"Connection: keep-alive, Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13")

FRAMING = [
    legal("plain", "RFC 9112 section 2.1", post(b"Content-Length: 5", body=b"hello"), ONE),
    legal("cl-leading-zeros", "RFC 9110 section 8.6", post(b"Content-Length: 0005", body=b"hello"), ONE),
    legal("cl-many-blanks", "RFC 9112 section 5.1", post(b"Content-Length:  \t  5\t ", body=b"hello"), ONE),
    legal("cl-no-blank", "RFC 9112 section 5.1", post(b"Content-Length:5", body=b"hello"), ONE),
    legal("cl-case", "RFC 9110 section 5.1", post(b"cOnTeNt-LeNgTh: 5", body=b"hello"), ONE),
    legal("cl-of-get", "RFC 9110 section 9.3.1", get(b"Content-Length: 5", body=b"hello"), HELLO_GET),
    legal("cl-0-of-get", "RFC 9110 section 9.3.1", get(b"Content-Length: 0"), BARE),
    legal("cl-of-delete", "RFC 9110 section 9.3.5", head(b"DELETE", b"/case", b"Content-Length: 5") + b"hello", [read("DELETE", body=b"hello")]),
    legal("cl-of-options", "RFC 9110 section 9.3.7", head(b"OPTIONS", b"/case", b"Content-Length: 5") + b"hello", [read("OPTIONS", body=b"hello")]),
    legal("cl-0-and-next", "RFC 9112 section 9.3.2", post(b"Content-Length: 0", body=SMUGGLED), TWO),
    legal("no-body-and-next", "RFC 9112 section 6.3", post(body=SMUGGLED), TWO),
    legal("body-that-looks-like-a-request", "RFC 9112 section 6.2", post(b"Content-Length: 43", body=SMUGGLED), [read("POST", body=SMUGGLED)]),
    legal("body-of-all-bytes", "RFC 9112 section 6.2", post(b"Content-Length: 256", body=bytes(range(256))), [read("POST", body=bytes(range(256)))]),
    legal("body-of-line-ends", "RFC 9112 section 6.2", post(b"Content-Length: 12", body=b"\r\n\r\n\n\n0\r\n\r\n\0"), [read("POST",
             body=b"\r\n\r\n\n\n0\r\n\r\n\0")]),
    legal("te-case", "RFC 9112 section 7", post(b"Transfer-Encoding: cHuNkEd", body=FIVE), ONE),
    legal("te-blanks", "RFC 9112 section 5.1", post(b"Transfer-Encoding: \t chunked \t", body=FIVE), ONE),
    legal("te-no-blank", "RFC 9112 section 5.1", post(b"tRaNsFeR-eNcOdInG:chunked", body=FIVE), ONE),
    legal("te-and-next", "RFC 9112 section 9.3.2", chunks(HIDDEN), TWO),
    legal("te-of-get", "RFC 9110 section 9.3.1", get(CHUNKED, body=FIVE), HELLO_GET),
    legal("te-of-delete", "RFC 9110 section 9.3.5", head(b"DELETE", b"/case", CHUNKED) + FIVE, [read("DELETE", body=b"hello")]),
    legal("te-empty-body", "RFC 9112 section 7.1", chunks(b"0\r\n\r\n"), EMPTY),
    legal("te-lookalike", "RFC 9112 section 6.1", post(b"Transfer-Encodin: chunked", b"X-Transfer-Encoding: chunked", b"Content-Length: 5",
             body=b"hello"), ONE),
    legal("cl-lookalike", "RFC 9110 section 8.6", post(b"Content-Lengt: 9", b"X-Content-Length: 9", b"Content-Length: 5", body=b"hello"), ONE),
]

CHUNKS = [
    legal("chunk-leading-zeros", "RFC 9112 section 7.1", chunks(b"0005\r\nhello\r\n000\r\n\r\n"), ONE),
    legal("chunk-upper-case", "RFC 9112 section 7.1", chunks(b"A\r\nhellohello\r\n0\r\n\r\n"), [read("POST", body=b"hellohello")]),
    legal("chunk-lower-case", "RFC 9112 section 7.1", chunks(b"a\r\nhellohello\r\n0\r\n\r\n"), [read("POST", body=b"hellohello")]),
    legal("chunks-of-one-byte", "RFC 9112 section 7.1", chunks(b"".join(b"1\r\n%c\r\n" % byte for byte in b"hello") + b"0\r\n\r\n"), ONE),
    legal("chunk-of-line-ends", "RFC 9112 section 7.1", chunks(b"9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n"), [read("POST", body=b"\r\n0\r\n\r\n\r\n")]),
    legal("chunk-extension", "RFC 9112 section 7.1.1", chunks(b"5;a\r\nhello\r\n0\r\n\r\n"), ONE),
    legal("chunk-extension-value", "RFC 9112 section 7.1.1", chunks(b"5;a=b;c=d\r\nhello\r\n0;e\r\n\r\n"), ONE),
    legal("chunk-extension-quoted", "RFC 9112 section 7.1.1", chunks(b'5;a="b ; c"\r\nhello\r\n0\r\n\r\n'), ONE),
    legal("chunk-extension-quoted-pair", "RFC 9112 section 7.1.1", chunks(b'5;a="b\\"c\\\\"\r\nhello\r\n0\r\n\r\n'), ONE),
    legal("trailer", "RFC 9112 section 7.1.2", chunks(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", b"Trailer: X-Sum"), ONE),
    legal("trailer-unannounced", "RFC 9112 section 7.1.2", chunks(b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Other:\r\n\r\n"), ONE),
]

HEADS = [
    legal("empty-line-first", "RFC 9112 section 2.2", b"\r\n" + get(), BARE),
    legal("absolute-form", "RFC 9112 section 3.2.2", get(target=b"http://shop.test/case"), [read("GET", ("/case", "http://shop.test/case"))]),
    legal("absolute-form-port", "RFC 9112 section 3.2.2", get(target=b"http://shop.test:80/case", host=b"Host: shop.test:80"), [read("GET", ("/case", "http://shop.test:80/case"))]),
    legal("absolute-form-case", "RFC 3986 section 6.2.2.1", get(target=b"HTTP://SHOP.TEST/case"), [read("GET", ("/case", "HTTP://SHOP.TEST/case", "http://SHOP.TEST/case"))]),
    legal("absolute-form-no-path", "RFC 9112 section 3.2.1", get(target=b"http://shop.test"), [read("GET", ("/", "http://shop.test", "http://shop.test/"))]),
    legal("absolute-form-query-alone", "RFC 9110 section 4.2.1", get(target=b"http://shop.test?case"), [read("GET", ("/?case", "http://shop.test?case", "http://shop.test/?case"))]),
    legal("host-empty-port", "RFC 3986 section 3.2.3", get(host=b"Host: shop.test:"), BARE),
    legal("absolute-form-query", "RFC 9112 section 3.2.2", get(target=b"http://shop.test/case?u=http://other.test/"), [
        read("GET", ("/case?u=http://other.test/", "http://shop.test/case?u=http://other.test/"))]),
    legal("options-asterisk", "RFC 9112 section 3.2.4", head(b"OPTIONS", b"*"), [read("OPTIONS", "*")]),
    legal("options", "RFC 9110 section 9.3.7", head(b"OPTIONS", b"/case"), [read("OPTIONS")]),
    legal("method-patch", "RFC 5789 section 2", head(b"PATCH", b"/case", b"Content-Length: 5") + b"hello", [read("PATCH", body=b"hello")]),
    legal("method-propfind", "RFC 4918 section 9.1", head(b"PROPFIND", b"/case", b"Depth: 1"), [read("PROPFIND")]),
    legal("method-report", "RFC 3253 section 3.6", head(b"REPORT", b"/case", b"Content-Length: 0"), [read("REPORT")]),
    legal("method-m-search", "RFC 9110 section 9.1", head(b"M-SEARCH", b"/case"), [read("M-SEARCH")]),
    legal("method-query", "RFC 9110 section 9.1", head(b"QUERY", b"/case", b"Content-Length: 5") + b"hello", [read("QUERY", body=b"hello")]),
    legal("head", "RFC 9110 section 9.3.2", head(b"HEAD", b"/case"), [read("HEAD")], method="HEAD"),
    legal("host-upper-case", "RFC 9110 section 4.2.3", get(host=b"Host: SHOP.TEST"), BARE),
    legal("host-port", "RFC 9110 section 7.2", get(host=b"Host: shop.test:80"), BARE),
    legal("host-port-zeros", "RFC 3986 section 3.2.3", get(host=b"Host: shop.test:00080"), BARE),
    legal("host-trailing-dot", "RFC 9110 section 7.2", get(host=b"Host: shop.test."), BARE),
    legal("host-ipv4", "RFC 9110 section 7.2", get(host=b"Host: 192.0.2.1:8080"), BARE),
    legal("host-ipv6", "RFC 9110 section 7.2", get(host=b"Host: [2001:db8::1]:8080"), BARE),
    legal("host-underscore", "RFC 9110 section 7.2", get(host=b"Host: a_b.shop.test"), BARE),
    legal("host-last", "RFC 9110 section 7.2", get(b"X: a", b"Host: shop.test", host=None), BARE),
    legal("host-no-blank", "RFC 9112 section 5.1", get(host=b"hOsT:shop.test"), BARE),
    legal("target-query-question", "RFC 3986 section 3.4", get(target=b"/case?a=?&b=/?"), [read("GET", "/case?a=?&b=/?")]),
    legal("target-empty-query", "RFC 3986 section 3.4", get(target=b"/case?"), [read("GET", "/case?")]),
    legal("target-encoded", "RFC 3986 section 2.1", get(target=b"/c%C3%A4se"), [read("GET", "/c%C3%A4se")]),
    legal("target-encoded-slash", "RFC 3986 section 2.2", get(target=b"/a%2Fb"), [read("GET", "/a%2Fb")]),
    legal("target-encoded-query", "RFC 3986 section 2.1", get(target=b"/case?a=%00%ff%23"), [read("GET", "/case?a=%00%ff%23")]),
    legal("target-query-percent", "RFC 3986 section 3.4", get(target=b"/case?q=100%"), [read("GET", "/case?q=100%")]),
    legal("target-sub-delimiters", "RFC 3986 section 2.2", get(target=b"/case;a=b,c/!$&'()*+=:@"), [read("GET", "/case;a=b,c/!$&'()*+=:@")]),
    legal("target-dots", "RFC 3986 section 3.3", get(target=b"/case/.../..a/a.."), [read("GET", "/case/.../..a/a..")]),
    legal("target-long", "RFC 9112 section 3", get(target=b"/case?" + b"a" * 7000), [read("GET", "/case?" + "a" * 7000)]),
]

FIELDS = [
    legal("field-odd-token", "RFC 9110 section 5.6.2", get(b"X!#$%&'*+.^`|~: a"), BARE),
    legal("field-one-letter", "RFC 9110 section 5.1", get(b"a: b"), BARE), legal("field-digits", "RFC 9110 section 5.1", get(b"123: b"), BARE),
    legal("field-empty-value", "RFC 9110 section 5.5", get(b"X:", b"Y: ", b"Z:\t"), BARE, present=("x", "y", "z")),
    legal("field-high-value", "RFC 9110 section 5.5", get(b"X: \xe9\xff\x80"), BARE),
    legal("field-tab-in-value", "RFC 9110 section 5.5", get(b"X: a\tb\t\tc"), BARE),
    legal("field-colons", "RFC 9112 section 5", get(b"X: a: b:: c:"), BARE, present=("x",)),
    legal("field-quotes", "RFC 9110 section 5.6.4", get(b'X: "a\\"b'), BARE),
    legal("field-value-like-a-field", "RFC 9112 section 5", get(b"X: Content-Length: 5"), BARE),
    legal("field-long", "RFC 9110 section 5.4", get(b"X: " + b"a" * 7000), BARE),
    legal("fields-many", "RFC 9110 section 5.4", get(*[b"X-%d: a" % number for number in range(80)]), BARE),
    legal("field-twice", "RFC 9110 section 5.3", get(b"X: a", b"X: b", b"x: c"), BARE),
    legal("cookie-twice", "RFC 6265 section 5.4", get(b"Cookie: a=1", b"Cookie: b=2"), BARE),
    legal("field-long-list", "RFC 9110 section 5.6.1", get(b"Accept: " + MANY), BARE),
    legal("connection-keep-alive", "RFC 9112 section 9.3", get(b"Connection: keep-alive", body=SMUGGLED), [read(), read("GET", "/smuggled")]),
    legal("connection-empty-elements", "RFC 9110 section 5.6.1.2", get(b"Connection: , keep-alive,,"), BARE),
    legal("connection-unknown", "RFC 9110 section 7.6.1", get(b"Connection: X-Unknown"), BARE),
    legal("connection-close", "RFC 9112 section 9.6", get(b"Connection: CLOSE"), BARE),
    legal("te-trailers", "RFC 9110 section 10.1.4", get(b"TE: trailers", b"Connection: TE"), BARE),
    legal("expect", "RFC 9110 section 10.1.1", post(b"Expect: 100-Continue", b"Content-Length: 5", body=b"hello"), ONE),
    legal("expect-chunked", "RFC 9110 section 10.1.1", post(b"Expect: 100-continue", CHUNKED, body=FIVE), ONE),
    legal("expect-without-body", "RFC 9110 section 10.1.1", get(b"Expect: 100-continue"), BARE),
    legal("max-forwards-of-get", "RFC 9110 section 7.6.2", get(b"Max-Forwards: 0"), BARE),
    legal("max-forwards-of-options", "RFC 9110 section 7.6.2", head(b"OPTIONS", b"/case", b"Max-Forwards: 5"), [read("OPTIONS")]),
    legal("http10", "RFC 9112 section 2.3", get(version=b"HTTP/1.0"), BARE),
    legal("http10-body", "RFC 9112 section 6.3", post(b"Content-Length: 5", version=b"HTTP/1.0", body=b"hello"), ONE),
    legal("http10-keep-alive", "RFC 9112 section 9.3", get(b"Connection: keep-alive", version=b"HTTP/1.0"), BARE),
    legal("upgrade-ignored", "RFC 9110 section 7.8", get(b"Connection: Upgrade", b"Upgrade: foo/2, bar"), BARE),
    legal("websocket", "RFC 6455 section 4.1", get(*WEBSOCKET), BARE),
    legal("range", "RFC 9110 section 14.2", get(b"Range: bytes=0-0,-1"), BARE),
    legal("if-match", "RFC 9110 section 13.1.1", get(b'If-Match: W/"a", "b"'), BARE),
    legal("pipelined-three", "RFC 9112 section 9.3.2", get(body=SMUGGLED * 2), [read(), read("GET", "/smuggled"), read("GET", "/smuggled")]),
]

CASES = [*FRAMING, *CHUNKS, *HEADS, *FIELDS]
