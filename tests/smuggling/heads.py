"""Requests whose head two readers take apart differently: lines, versions, methods, targets, Host, field names and values."""
from case import BARE, EMPTY, ONE, SMUGGLED, TWO, case, get, head, post, read

S22, S3, S23, S32, S51, S52, S55 = ("RFC 9112 section 2.2", "RFC 9112 section 3", "RFC 9112 section 2.3", "RFC 9112 section 3.2", "RFC 9112 section 5.1",
                                    "RFC 9112 section 5.2", "RFC 9110 section 5.5")
VERSIONS = (400, 505)
CONTROLS = {"nul": b"\0", "start": b"\x01", "vertical-tab": b"\x0b", "form-feed": b"\x0c", "escape": b"\x1b", "delete": b"\x7f", "cr": b"\r"}


def line(bytes_, **more):
    """GET as it should be, but for its request line."""
    return bytes_ + b"\r\nHost: shop.test\r\n\r\n"


LINES = [
    case("line-lf", S22, get(end=b"\n"), BARE, endless=True),
    case("line-lf-first", S22, b"GET /case HTTP/1.1\nHost: shop.test\r\n\r\n", BARE),
    case("line-lf-last", S22, b"GET /case HTTP/1.1\r\nHost: shop.test\r\n\n", BARE, endless=True),
    case("line-lf-before-next", S22, b"GET /case HTTP/1.1\r\nHost: shop.test\r\n\n" + SMUGGLED, [read(), read("GET", "/smuggled")]),
    case("line-cr", S22, get(end=b"\r"), endless=True),
    case("line-cr-first", S22, b"GET /case HTTP/1.1\rHost: shop.test\r\n\r\n"),
    case("line-cr-cr-lf", S22, b"GET /case HTTP/1.1\r\r\nHost: shop.test\r\n\r\n", BARE),
    case("line-lf-cr", S22, get(end=b"\n\r")),
    case("line-two-blanks", S3, line(b"GET  /case HTTP/1.1"), BARE),
    case("line-two-blanks-behind", S3, line(b"GET /case  HTTP/1.1"), BARE),
    case("line-tabs", S3, line(b"GET\t/case\tHTTP/1.1"), BARE),
    case("line-trailing-blank", S3, line(b"GET /case HTTP/1.1 "), BARE),
    case("line-trailing-tab", S3, line(b"GET /case HTTP/1.1\t"), BARE),
    case("line-leading-blank", S3, line(b" GET /case HTTP/1.1"), BARE),
    case("line-leading-tab", S3, line(b"\tGET /case HTTP/1.1"), BARE),
    case("line-blank-line-then-blank", S3, b"\r\n " + get(), BARE),
    case("line-blank-in-target", S3, line(b"GET /case HTTP/1.1 /x HTTP/1.1")),
    case("line-blank-in-target-2", S3, line(b"GET /ca se HTTP/1.1"), [read("GET", ("/ca%20se",))]),
    case("line-trailing-word", S3, line(b"GET /case HTTP/1.1 x")),
    case("line-of-response", S3, b"HTTP/1.1 200 OK\r\nHost: shop.test\r\n\r\n"),
    case("line-empty-lines", S22, b"\r\n\r\n\r\n" + get(), BARE),
    case("line-lf-first-of-all", S22, b"\n" + get(), BARE),
    case("line-cr-first-of-all", S22, b"\r" + get(), BARE),
    case("line-only-method", S3, line(b"GET")),
    case("line-only-blanks", S3, line(b"  ")),
    case("line-http09", S23, b"GET /case\r\n", BARE, endless=True),
    case("line-http09-with-fields", S23, line(b"GET /case"), BARE),
    case("line-http09-with-end", S23, b"GET /case\r\n\r\n", BARE),
    case("line-folded", S3, b"GET /case\r\n HTTP/1.1\r\nHost: shop.test\r\n\r\n", BARE),
    case("line-tls", S3, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40, endless=True),
    case("line-preface", "RFC 9113 section 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", statuses=VERSIONS, endless=True),
    case("line-proxy-header", S3, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get()),
    *[case(f"line-{name}-in-{place}", S3, line(data.replace(b"@", byte))) for name, byte in CONTROLS.items()
      for place, data in (("method", b"GE@T /case HTTP/1.1"), ("target", b"GET /ca@se HTTP/1.1"), ("version", b"GET /case HTTP/1.1@"))],
    case("line-high-blank", S3, line(b"GET\xa0/case HTTP/1.1")),
    case("line-high-in-target", S32, line(b"GET /case\xff HTTP/1.1"), [read("GET", ("/case%FF", "/case%ff"))]),
    case("line-utf-8-in-target", S32, line("GET /cäse HTTP/1.1".encode()), [read("GET", ("/c%C3%A4se", "/c%c3%a4se"))]),
]

VERSION = [case("version-" + name, S23, line(b"GET /case " + version), *readings, statuses=VERSIONS) for name, version, *readings in (
    ("lower-case", b"http/1.1"), ("mixed-case", b"Http/1.1"), ("none", b"HTTP/"), ("1", b"HTTP/1"), ("1.", b"HTTP/1."), ("01.1", b"HTTP/01.1"),
    ("1.01", b"HTTP/1.01", BARE), ("1.10", b"HTTP/1.10", BARE), ("1.2", b"HTTP/1.2", BARE), ("1.9", b"HTTP/1.9", BARE), ("0.9", b"HTTP/0.9", BARE), ("0.0",
             b"HTTP/0.0", BARE),
    ("2.0", b"HTTP/2.0", BARE), ("2", b"HTTP/2"), ("3.0", b"HTTP/3.0", BARE), ("9.9", b"HTTP/9.9", BARE), ("minus", b"HTTP/-1.1"), ("plus", b"HTTP/+1.1"),
    ("comma", b"HTTP/1,1"), ("blank", b"HTTP/ 1.1"), ("blank-before-slash", b"HTTP /1.1"), ("other", b"ICAP/1.1"), ("long", b"HTTP/1.1.1"),
    ("letter", b"HTTP/1.x"), ("https", b"HTTPS/1.1"), ("quoted", b'"HTTP/1.1"'), ("overflow", b"HTTP/1.4294967297"), ("high-digit", "HTTP/1.１".encode()))]

METHODS = [
    case("method-empty", S3, line(b" /case HTTP/1.1")),
    *[case("method-" + name, "RFC 9110 section 9.1", line(method + b" /case HTTP/1.1"), *readings, statuses=(400, 405, 501)) for name, method, *readings in (
        ("colon", b"GET:"), ("comma", b"GET,"), ("slash", b"GE/T"), ("brackets", b"[GET]"), ("parentheses", b"(GET)"), ("at", b"G@T"), ("equals", b"GET="),
        ("quoted", b'"GET"'), ("high", b"G\xcbT"), ("backslash", b"GE\\T"), ("semicolon", b"GET;"), ("question", b"GET?"), ("braces", b"{GET}"),
        ("lower-case", b"get", [read("get")]), ("mixed-case", b"Get", [read("Get")]), ("unknown", b"FROBNICATE", [read("FROBNICATE")]))],
    case("method-long", "RFC 9110 section 9.1", line(b"G" * 5000 + b" /case HTTP/1.1"), [read("G" * 5000)], statuses=(400, 405, 414, 431, 501)),
    case("connect", "RFC 9110 section 9.3.6", head(b"CONNECT", b"shop.test:80"), statuses=(400, 405, 501)),
    case("connect-body", "RFC 9110 section 9.3.6", head(b"CONNECT", b"shop.test:80") + SMUGGLED, statuses=(400, 405, 501)),
    case("connect-path", "RFC 9110 section 9.3.6", head(b"CONNECT", b"/case"), statuses=(400, 405, 501)),
    case("connect-no-port", "RFC 9110 section 9.3.6", head(b"CONNECT", b"shop.test"), statuses=(400, 405, 501)),
    case("connect-te", "RFC 9110 section 9.3.6", head(b"CONNECT", b"shop.test:80", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", statuses=(400, 405, 501)),
    case("connect-cl", "RFC 9110 section 9.3.6", head(b"CONNECT", b"shop.test:80", b"Content-Length: 43") + SMUGGLED, statuses=(400, 405, 501)),
    case("method-override", "RFC 9110 section 9.1", post(b"X-HTTP-Method-Override: CONNECT", b"Content-Length: 0"), EMPTY),
]


def target(name, text, *targets, section=S32, statuses=(400,), method=b"GET", hosts=(), **more):
    """Forwarded, if at all, as one of these targets."""
    return case("target-" + name, section, head(method, text, **more), *([[read(method.decode(), targets)]] if targets else []), statuses=statuses, hosts=hosts)


TARGETS = [
    target("no-slash", b"case"), target("empty-scheme", b"://shop.test/case"), target("query-alone", b"?case"), target("dot", b"."),
    target("dots", b"../case"), target("asterisk-get", b"*", statuses=(400, 404)), target("asterisk-slash", b"/*", "/*"), target("asterisk-path", b"*/case"),
    target("authority", b"shop.test"), target("authority-port", b"shop.test:80"), target("authority-slash", b"shop.test/case"),
    target("hash", b"/case#smuggled", "/case", "/case%23smuggled"), target("hash-encoded", b"/case%23smuggled", "/case%23smuggled"),
    target("hash-in-query", b"/case?a#b", "/case?a", "/case?a%23b"), target("percent", b"/case%", "/case%", "/case%25", section="RFC 3986 section 2.1"),
    target("percent-one", b"/case%2", "/case%2", "/case%252", section="RFC 3986 section 2.1"),
    target("percent-letters", b"/case%zz", "/case%zz", "/case%25zz", section="RFC 3986 section 2.1"),
    target("percent-u", b"/case%u002e", "/case%u002e", "/case%25u002e", section="RFC 3986 section 2.1"),
    target("nul-encoded", b"/case%00", "/case%00", section="RFC 3986 section 7.3"),
    target("nul-encoded-inside", b"/ca%00se.jpg", "/ca%00se.jpg", section="RFC 3986 section 7.3"),
    target("above-root", b"/../case", "/../case", "/case", section="RFC 3986 section 5.2.4"),
    target("above-root-encoded", b"/%2e%2e/case", "/%2e%2e/case", "/../case", "/case", section="RFC 3986 section 5.2.4"),
    target("above-root-later", b"/a/../../case", "/a/../../case", "/case", section="RFC 3986 section 5.2.4"),
    target("above-root-mixed", b"/a/.%2e/%2e./case", "/a/.%2e/%2e./case", "/a/../../case", "/case", section="RFC 3986 section 5.2.4"),
    target("odd-bytes", b"/case?a[]=1&b={}|^`\"<>", "/case?a[]=1&b={}|^`\"<>", "/case?a[]=1&b=%7B%7D%7C%5E%60%22%3C%3E"),
    target("http-no-host", b"http:///case"), target("http-no-slashes", b"http:/shop.test/case"),
    target("http-user", b"http://user@shop.test/case", "/case", "http://user@shop.test/case", "http://shop.test/case", hosts=("shop.test",)),
    target("http-user-other", b"http://shop.test@evil.test/case", "/case", "http://evil.test/case", hosts=("evil.test",)),
    target("http-other-host", b"http://other.test/case", "/case", "http://other.test/case", hosts=("other.test",)),
    target("http-other-port", b"http://shop.test:81/case", "/case", "http://shop.test:81/case", hosts=("shop.test:81", "shop.test")),
    target("http-port-letters", b"http://shop.test:x/case"),
    target("http-backslash", b"http:\\\\shop.test\\case"), target("http-backslash-host", b"http://shop.test\\@evil.test/case"),
    target("http-hash", b"http://shop.test/case#x", "/case", "/case%23x"),
    target("http-percent-host", b"http://shop%2etest/case"), target("http-bracket", b"http://[shop.test]/case"),
    target("http-open-bracket", b"http://[::1/case"),
    target("http-blank-host", b"http://shop.test%20/case"), target("ftp", b"ftp://shop.test/case", "/case"), target("file", b"file:///etc/passwd"),
    target("javascript", b"javascript:alert(1)"), target("ws", b"ws://shop.test/case", "/case"), target("unknown-scheme", b"gopher://shop.test/case", "/case"),
    target("http-empty-host-field", b"http://shop.test/case", "/case", "http://shop.test/case", host=b"Host:", hosts=("shop.test",)),
    target("http-no-host-field", b"http://shop.test/case", host=None),
    target("asterisk-options-other", b"*x", method=b"OPTIONS"),
    target("long", b"/" + b"a" * 70000, "/" + "a" * 70000, statuses=(400, 414, 431), section="RFC 9110 section 15.5.15"),
]

ODD_HOSTS = {
    "user": b"user@shop.test", "user-port": b"shop.test:80@evil.test", "path": b"shop.test/x", "blank": b"shop.test other.test",
             "port-letters": b"shop.test:abc",
    "two-ports": b"shop.test:80:81", "port-plus": b"shop.test:+80", "port-minus": b"shop.test:-80", "port-blank": b"shop.test: 80",
             "port-list": b"shop.test:80,81",
    "port-range": b"shop.test:65536", "port-huge": b"shop.test:4294967376", "port-hex": b"shop.test:0x50", "blank-before-port": b"shop.test :80",
    "list": b"shop.test, other.test", "list-no-blank": b"shop.test,other.test", "semicolon": b"shop.test;x", "open-bracket": b"[::1", "close-bracket": b"::1]",
    "bracket-name": b"[shop.test]", "bracket-behind": b"[::1]x", "bracket-zone": b"[fe80::1%25lo]", "no-brackets": b"::1", "bracket-empty": b"[]",
    "bracket-two": b"[::1][::2]", "bracket-port-letters": b"[::1]:x", "bracket-nonsense": b"[:::1]", "bracket-v": b"[v1.x]",
             "backslash": b"shop.test\\@evil.test",
    "hash": b"shop.test#evil", "query": b"shop.test?evil", "percent": b"shop%2etest", "percent-nul": b"shop.test%00", "percent-zz": b"shop%zz.test",
    "scheme": b"http://shop.test", "slashes": b"//shop.test", "high": b"sh\xc3\xb6p.test", "quoted": b'"shop.test"', "brackets-angle": b"<shop.test>",
    "caret": b"shop^.test", "braces": b"{shop}.test", "pipe": b"shop|test", "backtick": b"`shop.test`", "long-label": b"a" * 64 + b".test",
    "long": b".".join([b"a" * 60] * 5), "empty-label": b"shop..test", "leading-dot": b".shop.test", "dot": b".", "port-alone": b":80", "at": b"@",
             "tab": b"shop\ttest",
    "nul": b"shop.test\0", "nul-first": b"\0shop.test", "control": b"shop.test\x01", "delete": b"shop.test\x7f", "cr": b"shop.test\rx",
             "vertical-tab": b"shop.test\x0b",
}
# reg-name of RFC 3986 is wider than a host name (sub-delims, %XX, any length, empty): it may be refused, and may pass untouched.
WIDE_HOSTS = {"percent", "list-no-blank", "semicolon", "long-label", "long", "empty-label", "leading-dot", "dot", "percent-nul", "port-alone", "bracket-v",
              "bracket-zone", "port-range", "port-huge"}
HOSTS = [
    *[case("host-" + name, "RFC 9112 section 3.2", get(host=b"Host: " + value), *([BARE] if name in WIDE_HOSTS else [])) for name, value in ODD_HOSTS.items()],
    case("host-missing", S32, get(host=None)),
    case("host-empty", "RFC 9110 section 4.2.1", get(host=b"Host:"), BARE),
    case("host-empty-blank", "RFC 9110 section 4.2.1", get(host=b"Host: "), BARE),
    case("host-twice", S32, get(b"Host: other.test")), case("host-twice-equal", S32, get(b"Host: shop.test")),
    case("host-twice-case", S32, get(b"hOST: other.test")), case("host-twice-empty", S32, get(b"Host:")),
    case("host-twice-far", S32, get(*[b"X-%d: a" % number for number in range(40)], b"Host: other.test")),
    case("host-twice-absolute", S32, get(b"Host: other.test", target=b"http://shop.test/case")),
    case("host-three-times", S32, get(b"Host: shop.test", b"Host: shop.test")),
    case("host-blank-before-colon", S51, get(host=b"Host : shop.test")), case("host-tab-before-colon", S51, get(host=b"Host\t: shop.test")),
    case("host-leading-blank", S52, get(host=b" Host: shop.test")), case("host-folded", S52, get(host=b"Host: shop.test\r\n .evil.test")),
    case("host-folded-first", S52, get(host=b"Host:\r\n shop.test"), BARE), case("host-folded-behind", S52, get(host=b"X: a\r\n Host: shop.test")),
    case("host-underscored-name", S51, get(host=b"Host_: shop.test")), case("host-bare-lf", S22, get(host=b"X: a\nHost: shop.test"), BARE),
    case("host-bare-cr", S22, get(host=b"X: a\rHost: shop.test")), case("host-missing-http11-absolute", S32, get(target=b"http://shop.test/case", host=None)),
    case("host-in-connection", "RFC 9110 section 7.6.1", get(b"Connection: Host"), BARE),
    case("host-in-connection-close", "RFC 9110 section 7.6.1", get(b"Connection: close, host"), BARE),
    case("host-http10-missing", "RFC 9112 section 3.2", get(host=None, version=b"HTTP/1.0"), BARE, statuses=(400, 404)),
    case("host-http10-twice", S32, get(b"Host: other.test", version=b"HTTP/1.0")),
    case("host-x-forwarded-host", "RFC 7239 section 4", get(b"X-Forwarded-Host: evil.test", b"Forwarded: host=evil.test"), BARE),
]

FIELDS = [
    case("field-no-name", S51, get(b": value"), BARE), case("field-no-colon", S51, get(b"value"), BARE),
    case("field-blank-in-name", S51, get(b"X Y: value"), BARE),
    case("field-blank-before-colon", S51, get(b"X : value")), case("field-tab-before-colon", S51, get(b"X\t: value")),
    case("field-first-blank", S52, b"GET /case HTTP/1.1\r\n Host: shop.test\r\n\r\n"),
    case("field-first-tab", S52, b"GET /case HTTP/1.1\r\n\tX: a\r\nHost: shop.test\r\n\r\n", BARE),
    case("field-folded", S52, get(b"X: a\r\n b"), BARE), case("field-folded-tab", S52, get(b"X: a\r\n\tb"), BARE),
    case("field-folded-empty", S52, get(b"X: a\r\n "), BARE),
    case("field-folded-colon", S52, get(b"X: a\r\n Cookie: b"), BARE), case("field-folded-twice", S52, get(b"X: a\r\n b\r\n c"), BARE),
    case("field-folded-lf", S52, get(b"X: a\n b"), BARE), case("field-blank-line", S52, get(b" "), BARE),
    *[case(f"field-{name}-in-value", S55, get(b"X: a" + byte + b"b"), *([BARE] if name == "cr" else [])) for name, byte in CONTROLS.items()],
    *[case(f"field-{name}-in-name", S51, get(b"X" + byte + b"Y: b"), BARE) for name, byte in CONTROLS.items()],
    *[case(f"field-{name}-ends-value", S55, get(b"X: a" + byte), *([BARE] if name == "cr" else [])) for name, byte in CONTROLS.items()],
    *[case(f"field-name-with-{name}", S51, get(b"X" + text + b"Y: a"), BARE) for name, text in (
        ("brackets", b"[1]"), ("parentheses", b"()"), ("comma", b","), ("semicolon", b";"), ("slash", b"/"), ("at", b"@"), ("equals", b"="), ("question", b"?"),
        ("quote", b'"'), ("backslash", b"\\"), ("braces", b"{}"), ("angle", b"<>"), ("high", b"\xe9"), ("high-blank", b"\xa0"))],
    case("field-name-utf-8", S51, get("X-é: a".encode()), BARE), case("field-name-kelvin", S51, get("\u212aeep-Alive: a".encode()), BARE),
    case("field-injected-by-lf", S22, get(b"X: a\nX-Forwarded-For: 203.0.113.250"), BARE),
    case("field-injected-by-cr", S22, get(b"X: a\rX-Forwarded-For: 203.0.113.250"), BARE),
    case("field-request-injected-by-lf", S22, get(b"X: a\n\nGET /smuggled HTTP/1.1\nHost: shop.test"), [read(), read("GET", "/smuggled")]),
    case("field-request-injected-by-cr", S22, get(b"X: a\r\rGET /smuggled HTTP/1.1\rHost: shop.test"), BARE),
    case("field-underscore", "RFC 3875 section 4.1.18", get(b"X_Forwarded_For: 203.0.113.250"), BARE, absent=("x_forwarded_for",)),
    case("field-underscore-host", "RFC 3875 section 4.1.18", get(b"X_Forwarded_Host: evil.test"), BARE, absent=("x_forwarded_host",)),
    case("field-proxy", "RFC 3875 section 4.1.18", get(b"Proxy: http://evil.test"), BARE),
    case("field-many", "RFC 6585 section 5", get(*[b"X-%d: a" % number for number in range(20000)]), BARE, statuses=(400, 413, 431)),
    case("field-huge", "RFC 6585 section 5", get(b"X: " + b"a" * 300000), BARE, statuses=(400, 413, 431)),
    case("field-name-huge", "RFC 6585 section 5", get(b"X" * 300000 + b": a"), BARE, statuses=(400, 413, 431)),
    case("content-type-twice", "RFC 9110 section 5.3", post(b"Content-Type: text/plain", b"Content-Type: application/json", b"Content-Length: 5",
             body=b"hello"), ONE),
    case("content-encoding-twice", "RFC 9110 section 5.3", post(b"Content-Encoding: identity", b"Content-Encoding: identity", b"Content-Length: 5",
             body=b"hello"), ONE),
]

# What Connection names ends at this hop; it may not name what all recipients need (RFC 9110 section 7.6.1).
OPTIONS = "RFC 9110 section 7.6.1"
CONNECTION = [
    case("connection-named", OPTIONS, get(b"Connection: X-Secret", b"X-Secret: 1"), BARE, absent=("x-secret",)),
    case("connection-named-case", OPTIONS, get(b"Connection: x-secret", b"X-SECRET: 1"), BARE, absent=("x-secret",)),
    case("connection-named-behind", OPTIONS, get(b"X-Secret: 1", b"Connection: close, X-Secret"), BARE, absent=("x-secret",)),
    case("connection-named-twice", OPTIONS, get(b"X-Secret: 1", b"X-Secret: 2", b"Connection: X-Secret"), BARE, absent=("x-secret",)),
    case("connection-named-second", OPTIONS, get(b"Connection: keep-alive", b"Connection: X-Secret", b"X-Secret: 1"), BARE, absent=("x-secret",)),
    case("connection-named-blanks", OPTIONS, get(b"Connection: close ,\t X-Secret\t,", b"X-Secret: 1"), BARE, absent=("x-secret",)),
    case("connection-named-http10", OPTIONS, get(b"Connection: X-Secret", b"X-Secret: 1", version=b"HTTP/1.0"), BARE, absent=("x-secret",)),
    case("connection-quoted", OPTIONS, get(b'Connection: "X-Secret"', b"X-Secret: 1"), BARE),
    case("connection-semicolon", OPTIONS, get(b"Connection: close; X-Secret"), BARE),
    case("connection-cookie", OPTIONS, get(b"Connection: close, Cookie", b"Cookie: a=b"), BARE),
    case("connection-authorization", OPTIONS, get(b"Connection: Authorization", b"Authorization: Basic eDp5"), BARE),
    case("connection-forwarded-for", OPTIONS, get(b"Connection: X-Forwarded-For"), BARE), case("connection-content-type", OPTIONS, post(
        b"Connection: Content-Type", b"Content-Type: text/plain", b"Content-Length: 5", body=b"hello"), ONE),
    case("connection-expect", OPTIONS, post(b"Connection: Expect", b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"), ONE),
    case("connection-itself", OPTIONS, get(b"Connection: Connection"), BARE, absent=("x-none",)),
    case("connection-folded", S52, get(b"Connection: close,\r\n X-Secret", b"X-Secret: 1"), BARE, absent=("x-secret",)),
    case("keep-alive", OPTIONS, get(b"Keep-Alive: timeout=1000", b"Connection: Keep-Alive"), BARE, absent=("keep-alive",)),
    case("keep-alive-unnamed", OPTIONS, get(b"Keep-Alive: timeout=1000"), BARE, absent=("keep-alive",)),
    case("proxy-connection", OPTIONS, get(b"Proxy-Connection: keep-alive"), BARE, absent=("proxy-connection",)),
    case("te-field-gzip", "RFC 9110 section 10.1.4", get(b"TE: gzip", b"Connection: TE"), BARE, absent=("te",)),
    case("te-field-gzip-unnamed", "RFC 9110 section 10.1.4", get(b"TE: gzip;q=0.5, chunked"), BARE, absent=("te",)),
    case("upgrade-h2c", "RFC 9113 section 3.1", get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), BARE,
         absent=("upgrade", "http2-settings")),
    case("upgrade-h2c-only", "RFC 9113 section 3.1", get(b"Connection: Upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), BARE, absent=("upgrade",)),
    case("upgrade-h2c-case", "RFC 9113 section 3.1", get(b"Connection: upgrade, http2-settings", b"Upgrade: H2C", b"HTTP2-Settings: AAMAAABk"), BARE,
         absent=("upgrade", "http2-settings")),
    case("upgrade-h2c-body", "RFC 9113 section 3.1", post(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk",
             b"Content-Length: 5",
                                                          body=b"hello"), ONE, absent=("upgrade", "http2-settings")),
    case("upgrade-h2c-list", "RFC 9113 section 3.1", get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: websocket, h2c", b"HTTP2-Settings: AAMAAABk"), BARE,
         absent=("http2-settings",)),
    case("upgrade-unnamed", "RFC 9110 section 7.8", get(b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), BARE, absent=("upgrade",)),
    case("upgrade-tls", "RFC 2817 section 3", get(b"Connection: Upgrade", b"Upgrade: TLS/1.0"), BARE, absent=("upgrade",)),
    case("upgrade-http10", "RFC 9110 section 7.8", get(b"Connection: Upgrade", b"Upgrade: websocket", version=b"HTTP/1.0"), BARE, absent=("upgrade",)),
    case("upgrade-malformed", "RFC 9110 section 7.8", get(b"Connection: Upgrade", b"Upgrade: a b"), BARE, absent=("upgrade",)),
    case("upgrade-websocket-body", "RFC 6455 section 4.1", post(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                                                               b"Sec-WebSocket-Version: 13", b"Content-Length: 43", body=SMUGGLED), [read("POST",
                                                                        body=SMUGGLED)]),
    case("upgrade-websocket-early", "RFC 6455 section 4.1", get(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                                                               b"Sec-WebSocket-Version: 13", body=SMUGGLED), BARE, [read(), read("GET", "/smuggled")]),
    case("upgrade-websocket-wrong-version", "RFC 6455 section 4.4", get(b"Connection: Upgrade", b"Upgrade: websocket",
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                                                                       b"Sec-WebSocket-Version: 99", body=SMUGGLED), BARE, [read(), read("GET", "/smuggled")],
         [read("GET", "/smuggled")], statuses=(400, 426)),
    case("max-forwards-trace-0", "RFC 9110 section 7.6.2", head(b"TRACE", b"/case", b"Max-Forwards: 0"), statuses=(200, 400, 405, 501)),
    case("max-forwards-options-0", "RFC 9110 section 7.6.2", head(b"OPTIONS", b"/case", b"Max-Forwards: 0"), statuses=(200, 204, 400, 405, 501)),
    case("max-forwards-options-word", "RFC 9110 section 7.6.2", head(b"OPTIONS", b"/case", b"Max-Forwards: x"), [read("OPTIONS")]),
    case("max-forwards-options-twice", "RFC 9110 section 7.6.2", head(b"OPTIONS", b"/case", b"Max-Forwards: 0", b"Max-Forwards: 5"),
             statuses=(200, 204, 400, 405, 501)),
    case("two-requests-two-hosts", "RFC 9112 section 9.3.2", post(b"Content-Length: 0", body=SMUGGLED), TWO),
]

CASES = [*LINES, *VERSION, *METHODS, *TARGETS, *HOSTS, *FIELDS, *CONNECTION]
