"""Requests whose chunked body two readers end at different places: sizes, extensions, line ends, trailers."""
from case import BARE, CHUNKED, EMPTY, HIDDEN, ONE, SMUGGLED, TWO, case, chunks, get, read

S71, S711, S712, S22 = "RFC 9112 section 7.1", "RFC 9112 section 7.1.1", "RFC 9112 section 7.1.2", "RFC 9112 section 2.2"
TAIL = b"\r\nhello\r\n0\r\n\r\n"
ONE_TWO = [read("POST", body=b"hello"), read("GET", "/smuggled")]

ODD_SIZES = {
    "prefix": b"0x5", "prefix-upper": b"0X5", "hash": b"#5", "plus": b"+5", "minus": b"-5", "minus-zero": b"-0", "blank-before": b" 5", "tab-before": b"\t5",
    "underscore": b"0_5", "empty": b"", "decimal": b"5.0", "letter": b"g", "h-behind": b"5h", "quoted": b'"5"', "comma": b"5,5",
    "two-sizes": b"5 5", "colon": b"5:", "equals": b"5=", "nul-behind": b"5\0", "nul-before": b"\x005", "vertical-tab": b"5\x0b", "form-feed": b"5\x0c",
    "vertical-tab-before": b"\x0b5", "high-blank": b"5\xa0", "high-blank-before": b"\xa05", "high-digit": "５".encode(), "delete": b"5\x7f",
    "byte-order-mark": b"\xef\xbb\xbf5", "slash": b"5/", "percent": b"%35", "u": b"5u", "brackets": b"{5}", "apostrophe": b"'5'", "word": b"five",
}
ODD_LARGE = {
    "overflow-64": b"10000000000000005", "overflow-64-f": b"fffffffffffffffff", "overflow-63": b"8000000000000005", "max-64": b"ffffffffffffffff",
    "overflow-wraps": b"ffffffffffffffff5", "overflow-128": b"f" * 32, "overflow-long": b"f" * 1000,
}
SIZES = [
    *[case("chunk-size-" + name, S71, chunks(value + TAIL)) for name, value in ODD_SIZES.items()],
    *[case("chunk-size-" + name, S71, chunks(value + TAIL), statuses=(400, 413), endless=True) for name, value in ODD_LARGE.items()],
    case("chunk-size-overflow-32", S71, chunks(b"100000005" + TAIL), endless=True, statuses=(400, 413)),
    case("chunk-size-zeros", S71, chunks(b"0" * 100 + b"5" + TAIL), ONE),
    case("chunk-size-many-zeros", S71, chunks(b"0" * 5000 + b"5" + TAIL), ONE),
    case("chunk-size-blank-behind", S71, chunks(b"5 " + TAIL), ONE),
    case("chunk-size-tab-behind", S71, chunks(b"5\t" + TAIL), ONE),
    case("chunk-size-blanks-behind", S71, chunks(b"5" + b" " * 200 + TAIL), ONE),
    case("chunk-size-last-minus", S71, chunks(b"5\r\nhello\r\n-0\r\n\r\n" + SMUGGLED)),
    case("chunk-size-last-blank-before", S71, chunks(b"5\r\nhello\r\n 0\r\n\r\n" + SMUGGLED)),
    case("chunk-size-last-empty", S71, chunks(b"5\r\nhello\r\n\r\n\r\n" + SMUGGLED)),
    case("chunk-size-last-zeros", S71, chunks(b"5\r\nhello\r\n0000000000\r\n\r\n"), ONE),
    case("chunk-too-long", S71, chunks(b"5\r\nhello!\r\n0\r\n\r\n")),
    case("chunk-too-short", S71, chunks(b"6\r\nhello\r\n0\r\n\r\n")),
    case("chunk-without-end", S71, chunks(b"5\r\nhello0\r\n\r\n" + SMUGGLED)),
    case("chunk-with-two-ends", S71, chunks(b"5\r\nhello\r\n\r\n0\r\n\r\n" + SMUGGLED)),
    case("chunk-of-0-in-the-middle", S71, chunks(b"0\r\n5\r\nhello\r\n0\r\n\r\n"), EMPTY),
    case("chunk-no-last", S71, chunks(b"5\r\nhello\r\n"), endless=True),
    case("chunk-no-trailer-end", S71, chunks(b"5\r\nhello\r\n0\r\n"), endless=True),
    case("chunk-body-missing", S71, chunks(b""), endless=True),
]

LINE_ENDS = [
    case("chunk-lf", S22, chunks(b"5\nhello\n0\n\n"), ONE),
    case("chunk-size-lf", S22, chunks(b"5\nhello\r\n0\r\n\r\n" + SMUGGLED), ONE_TWO),
    case("chunk-data-lf", S71, chunks(b"5\r\nhello\n0\r\n\r\n" + SMUGGLED)),
    case("chunk-data-lf-hidden", S71, chunks(b"5\r\nhello\n2b\r\n" + SMUGGLED + b"\r\n0\r\n\r\n")),
    case("chunk-data-cr", S71, chunks(b"5\r\nhello\r0\r\n\r\n" + SMUGGLED)),
    case("chunk-data-cr-x", S71, chunks(b"5\r\nhello\rX0\r\n\r\n" + SMUGGLED)),
    case("chunk-data-two-bytes", S71, chunks(b"5\r\nhelloXX0\r\n\r\n" + SMUGGLED)),
    case("chunk-data-lf-cr", S71, chunks(b"5\r\nhello\n\r0\r\n\r\n" + SMUGGLED)),
    case("chunk-size-cr", S71, chunks(b"5\rhello\r\n0\r\n\r\n" + SMUGGLED)),
    case("chunk-size-cr-x", S71, chunks(b"5\rXhello\r\n0\r\n\r\n" + SMUGGLED)),
    case("chunk-size-cr-cr-lf", S71, chunks(b"5\r\r\nhello\r\n0\r\n\r\n" + SMUGGLED), ONE_TWO),
    case("chunk-size-lf-cr", S71, chunks(b"5\n\rhello\r\n0\r\n\r\n" + SMUGGLED)),
    case("chunk-cr-alone", S71, chunks(b"5\rhello\r0\r\r" + SMUGGLED)),
    case("chunk-last-lf", S22, chunks(b"0\n\n" + SMUGGLED), TWO),
    case("chunk-last-crlf-lf", S22, chunks(b"0\r\n\n" + SMUGGLED), TWO),
    case("chunk-last-lf-crlf", S22, chunks(b"0\n\r\n" + SMUGGLED), TWO),
    case("chunk-last-cr", S71, chunks(b"0\r\n\r" + SMUGGLED)),
    case("chunk-last-no-end", S71, chunks(b"0\r\nX" + SMUGGLED.replace(b"\r\n\r\n", b"\n\n")), EMPTY),
    case("chunk-last-data", S71, chunks(b"0\r\nabc\r\n\r\n" + SMUGGLED), TWO),
    case("chunk-last-is-the-request", S71, chunks(b"0\r\n" + SMUGGLED), EMPTY),
]

QUOTED = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r", "nul": b"\0", "delete": b"\x7f", "escape": b"\x1b"}
EXTENSIONS = [
    case("chunk-extension-lf", S711, chunks(b"5;a\nhello\r\n0\r\n\r\n" + SMUGGLED), ONE_TWO),
    case("chunk-extension-lf-hidden", S711, chunks(b"2;\nxx\r\n2b\r\n" + SMUGGLED + b"\r\n0\r\n\r\n"), [read("POST", body=b"xx" + SMUGGLED)]),
    case("chunk-extension-lf-inside", S711, chunks(b"5;a\nb\r\nhello\r\n0\r\n\r\n")),
    case("chunk-extension-lf-last", S711, chunks(b"0;a\n\r\n" + SMUGGLED), TWO),
    case("chunk-extension-cr", S711, chunks(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), ONE),
    case("chunk-extension-cr-first", S711, chunks(b"5;\rb\r\nhello\r\n0\r\n\r\n"), ONE),
    case("chunk-extension-nul", S711, chunks(b"5;a\0" + TAIL), ONE),
    case("chunk-extension-control", S711, chunks(b"5;a\x01" + TAIL), ONE),
    case("chunk-extension-delete", S711, chunks(b"5;a\x7f" + TAIL), ONE),
    case("chunk-extension-empty", S711, chunks(b"5;" + TAIL), ONE),
    case("chunk-extension-empty-twice", S711, chunks(b"5;;" + TAIL), ONE),
    case("chunk-extension-blanks", S711, chunks(b"5 ; a = b" + TAIL), ONE),
    case("chunk-extension-no-name", S711, chunks(b"5;=b" + TAIL), ONE),
    case("chunk-extension-no-value", S711, chunks(b"5;a=" + TAIL), ONE),
    case("chunk-extension-two-values", S711, chunks(b"5;a=b=c" + TAIL), ONE),
    case("chunk-extension-comma", S711, chunks(b"5,a" + TAIL)),
    case("chunk-extension-without-semicolon", S711, chunks(b"5 a" + TAIL), ONE),
    case("chunk-extension-colon", S711, chunks(b"5;a:b" + TAIL), ONE),
    case("chunk-extension-high", S711, chunks(b"5;\xe9" + TAIL), ONE),
    case("chunk-extension-quoted-open", S711, chunks(b'5;a="b' + TAIL), ONE),
    case("chunk-extension-quoted-escape-open", S711, chunks(b'5;a="b\\' + TAIL), ONE),
    case("chunk-extension-quoted-behind", S711, chunks(b'5;a="b"c' + TAIL), ONE),
    *[case("chunk-extension-quoted-" + name, S711, chunks(b'5;a="b' + byte + b'c"' + TAIL),
           *([ONE] if name in ("cr", "nul", "delete", "escape") else [])) for name, byte in QUOTED.items()],
    *[case("chunk-extension-escaped-" + name, S711, chunks(b'5;a="b\\' + byte + b'c"' + TAIL),
           *([ONE] if name in ("cr", "nul", "delete", "escape") else [])) for name, byte in QUOTED.items()],
    case("chunk-extension-long", S711, chunks(b"5;" + b"a" * 20000 + TAIL), ONE, statuses=(400, 413, 431)),
    case("chunk-extensions-many", S711, chunks(b"".join(b"1;" + b"a" * 200 + b"\r\nx\r\n" for _ in range(500)) + b"0\r\n\r\n"),
         [read("POST", body=b"x" * 500)], statuses=(400, 413)),
]

TRAILERS = [
    *[case("trailer-" + name, "RFC 9110 section 6.5.1", chunks(b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n" + SMUGGLED), ONE_TWO, absent=(field,))
      for name, line, field in (
          ("content-length", b"Content-Length: 43", "x-none"), ("host", b"Host: evil.test", "x-none"),
          ("transfer-encoding", b"Transfer-Encoding: identity", "x-none"), ("connection", b"Connection: close", "connection-x"),
          ("authorization", b"Authorization: Basic eDp5", "authorization"), ("forwarded-for", b"X-Forwarded-For: 203.0.113.250", "x-none"),
          ("cookie", b"Cookie: a=b", "cookie"), ("content-encoding", b"Content-Encoding: gzip", "content-encoding"),
          ("content-type", b"Content-Type: text/x", "content-type"), ("expect", b"Expect: 100-continue", "expect"), ("upgrade", b"Upgrade: h2c", "upgrade"))],
    case("trailer-folded", "RFC 9112 section 5.2", chunks(b"5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n"), ONE),
    case("trailer-leading-blank", "RFC 9112 section 5.2", chunks(b"5\r\nhello\r\n0\r\n X: a\r\n\r\n"), ONE),
    case("trailer-no-colon", S712, chunks(b"5\r\nhello\r\n0\r\nX\r\n\r\n" + SMUGGLED), ONE_TWO),
    case("trailer-no-name", S712, chunks(b"5\r\nhello\r\n0\r\n: a\r\n\r\n" + SMUGGLED), ONE_TWO),
    case("trailer-blank-before-colon", "RFC 9112 section 5.1", chunks(b"5\r\nhello\r\n0\r\nX : a\r\n\r\n" + SMUGGLED), ONE_TWO),
    case("trailer-nul", "RFC 9110 section 5.5", chunks(b"5\r\nhello\r\n0\r\nX: a\0\r\n\r\n" + SMUGGLED), ONE_TWO),
    case("trailer-nul-in-name", "RFC 9110 section 5.1", chunks(b"5\r\nhello\r\n0\r\nX\0: a\r\n\r\n" + SMUGGLED), ONE_TWO),
    case("trailer-cr", S22, chunks(b"5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n" + SMUGGLED), ONE_TWO),
    case("trailer-lf", S22, chunks(b"5\r\nhello\r\n0\r\nX: a\n\r\n" + SMUGGLED), ONE_TWO),
    case("trailer-lf-lf", S22, chunks(b"5\r\nhello\r\n0\r\nX: a\n\n" + SMUGGLED), ONE_TWO),
    case("trailer-lf-crlf-first", S22, chunks(b"0\r\n\nX: a\r\n\r\n" + SMUGGLED), EMPTY),
    case("trailer-huge", "RFC 6585 section 5", chunks(b"5\r\nhello\r\n0\r\nX: " + b"a" * 100000 + b"\r\n\r\n"), ONE, statuses=(400, 413, 431)),
    case("trailer-many", "RFC 6585 section 5", chunks(b"5\r\nhello\r\n0\r\n" + b"X: a\r\n" * 20000 + b"\r\n"), ONE, statuses=(400, 413, 431)),
    case("trailer-is-a-request", S712, get(CHUNKED, b"Trailer: X", body=b"0\r\nX: a\r\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n"), BARE),
]

NEXT = [
    case("chunk-and-next", S71, chunks(HIDDEN), TWO),
    case("chunk-and-close-and-next", S71, chunks(HIDDEN, b"Connection: close"), EMPTY),
]

CASES = [*SIZES, *LINE_ENDS, *EXTENSIONS, *TRAILERS, *NEXT]
