"""Answers of upstreams: framing towards the client, answers without a body, and answers that are broken."""
import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.http1 import Closed, Truncated
from harness.upstream import Upstream

OK = b"HTTP/1.1 200 OK\r\n"

# By path: the bytes that the upstream answers with; it closes after those in CLOSING.
ANSWERS = {
    "/length": OK + b"Content-Length: 5\r\n\r\nhello",
    "/chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n",
    "/chunked-trailer": OK + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    "/trailers": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 3\r\nHost: b\r\nX-More:2\r\n\r\n",
    "/until-close": OK + b"\r\nhello",
    "/until-close-1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "/until-close-empty": OK + b"\r\n",
    "/empty": OK + b"Content-Length: 0\r\n\r\n",
    "/204": b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n",
    "/204-with-length": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "/304": b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n",
    "/head": OK + b"Content-Length: 1234\r\nX: 1\r\n\r\n",
    "/head-chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n",
    "/no-reason": b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    "/odd-status": b"HTTP/1.1 299 Odd\r\nContent-Length: 5\r\n\r\nhello",
    "/early-hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
    "/processing": b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + OK + b"Content-Length: 5\r\n\r\nhello",
    # wrong; tests/smuggling has many more
    "/interim-with-length": b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
    "/interim-with-coding": b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
    "/interim-malformed": b"HTTP/1.1 103 Early Hints\r\nContent-Length: x\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
    "/garbage": b"\x00\x01\x02 nonsense\r\n\r\n",
}
CLOSING = {path for path in ANSWERS if path.startswith("/until-close")}


def answer(connection, request):
    connection.send(ANSWERS[request.target])
    if request.target in CLOSING:
        connection.close()


@pytest.fixture(scope="module")
def server():
    with Upstream(answer) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(server):
    hosts = [{"name": "shop.test", "tls": "off"}, {"name": "secure.test", "tls": {"self_signed": True}}]
    with Gateway({"shop": tenant(upstream=server, hosts=hosts)}, {"workers": 1, "timeouts": {"response": "2s"}}) as running:
        yield running


@pytest.mark.parametrize("path, framing, body", [
    ("/length", "length", b"hello"), ("/chunked", "chunked", b"hello world"), ("/chunked-trailer", "chunked", b"hello"),
    ("/until-close", "chunked", b"hello"), ("/until-close-1.0", "chunked", b"hello"), ("/until-close-empty", "chunked", b""),
    ("/empty", "length", b""), ("/no-reason", "length", b"hello"), ("/odd-status", "length", b"hello"),
])
@pytest.mark.parametrize("tls", [None, True])
def test_framing(gateway, path, framing, body, tls):
    host = "secure.test" if tls else "shop.test"
    with gateway.connect(tls=tls, server_name=host if tls else None) as connection:
        response = connection.exchange(request_bytes(target=path, host=host))
        assert response.body == body
        if not response.closes:
            assert response.framing == framing
            assert connection.exchange(request_bytes(target="/length", host=host)).body == b"hello"


@pytest.mark.parametrize("headers, trailers", [([("TE", "trailers"), ("Connection", "TE")], [("x-sum", "1"), ("x-more", "2")]), ([], []),
                                               ([("TE", "gzip;q=0.5"), ("Connection", "TE")], [])])
def test_trailers_are_for_who_asks_for_them(gateway, headers, trailers):
    """And nothing in them may say how a message is framed, or for whom it is (RFC 9110 section 6.5.1)."""
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes(target="/trailers", headers=headers))
        assert response.body == b"hello" and [(name.lower(), value) for name, value in response.trailers] == trailers
        assert connection.exchange(request_bytes(target="/length")).body == b"hello"


def test_chunk_extensions_and_trailers_of_the_upstream(gateway):
    assert gateway.request("/chunked").body == b"hello world"
    assert gateway.request("/chunked-trailer").status == 200


@pytest.mark.parametrize("path, status", [("/204", 204), ("/204-with-length", 204), ("/304", 304)])
def test_answers_without_a_body(gateway, path, status):
    with gateway.connect() as connection:
        assert connection.exchange(request_bytes(target=path)).status == status
        assert connection.exchange(request_bytes(target="/length")).body == b"hello"


@pytest.mark.parametrize("path", ["/head", "/head-chunked", "/304", "/204"])
def test_head(gateway, path):
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes("HEAD", path), "HEAD")
        if path == "/head":
            assert response.header("content-length") == "1234"
        assert connection.exchange(request_bytes(target="/length")).body == b"hello"


def test_interim_responses_pass(gateway):
    """RFC 9110 section 15.2: a proxy forwards them, except to HTTP/1.0 and those that it asked for itself."""
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes(target="/early-hints"))
        assert response.body == b"hello"
        assert [(interim.status, interim.header("link")) for interim in response.interim] == [(103, "</a>; rel=preload")]
        assert connection.exchange(request_bytes(target="/processing")).body == b"hello"


def test_no_interim_responses_to_http_1_0(gateway):
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes(target="/early-hints", version="1.0"))
        assert response.body == b"hello" and response.interim == []


@pytest.mark.parametrize("path", ["/length", "/chunked", "/until-close", "/empty"])
def test_http_1_0_gets_no_chunks(gateway, path):
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes(target=path, version="1.0"))
        assert response.framing in ("length", "close")
        assert response.body == {"/empty": b"", "/chunked": b"hello world"}.get(path, b"hello")
        connection.expect_closed()


@pytest.mark.parametrize("path", ["/garbage", "/interim-with-length", "/interim-with-coding", "/interim-malformed"])
def test_a_broken_answer_is_502(gateway, path):
    response = gateway.request(path)
    assert response.status == 502 and response.has("x-request-id")
    assert b"nonsense" not in response.body and b"hello" not in response.body


def test_broken_answers_are_counted(gateway):
    before = gateway.metric("gatehouse_local_replies_total", tenant="shop", reason="upstream")
    gateway.request("/garbage")
    gateway.wait_metric(before + 1, "gatehouse_local_replies_total", tenant="shop", reason="upstream")


def test_an_answer_in_single_bytes():
    def drip(connection, request):
        for byte in ANSWERS["/chunked"]:
            connection.send(bytes([byte]))

    with Upstream(drip) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway:
        assert gateway.request().body == b"hello world"


def test_an_answer_streams_before_its_end():
    """The client has the first part while the upstream holds the second one back: events, not buffers."""
    def handler(connection, request):
        connection.send(OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nd\r\ndata: first\n\n\r\n")
        connection.upstream.released.wait(10)
        connection.send(b"e\r\ndata: second\n\n\r\n0\r\n\r\n")

    with Upstream(handler) as upstream, Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block"})}) as gateway, gateway.connect() as connection:
        connection.send(request_bytes())
        connection.socket.settimeout(10)
        while b"data: first\n\n" not in connection.buffer.data:
            assert connection.buffer.fill()
        upstream.released.set()
        assert connection.response().body == b"data: first\n\ndata: second\n\n"


def test_reset_in_the_middle_of_an_answer():
    def handler(connection, request):
        connection.send(OK + b"Content-Length: 1000\r\n\r\nhello")
        connection.upstream.released.wait(10)
        connection.reset()

    with Upstream(handler) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway, gateway.connect() as connection:
        connection.send(request_bytes())
        while b"hello" not in connection.buffer.data:
            assert connection.buffer.fill()
        upstream.released.set()
        assert isinstance(connection.outcome(), (Truncated, Closed))


@pytest.mark.parametrize("begin, rest", [
    (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"), (OK + b"Content-Length: 5\r\n\r\n", b"hello"),
], ids=["chunked", "length"])
def test_bytes_behind_an_answer_are_nobodys(begin, rest):
    """Half of another answer: the connection is not used again, or its other half would be the next client's."""
    def excessive(connection, request):
        if request.target != "/excess":
            connection.respond(body=str(connection.number))
            return
        connection.send(begin)
        connection.upstream.released.wait(0.2)  # so that the body is read apart from the head
        connection.send(rest + OK + b"X-Half: ")

    with Upstream(excessive) as upstream, Gateway({"shop": tenant(upstream=upstream)}, {"workers": 1}) as gateway:
        assert gateway.request("/excess").body == b"hello"
        for _ in range(3):
            answer = gateway.request("/next")
            assert (answer.status, answer.body) == (200, b"1")


def test_an_inspected_answer_is_asked_for_whole(upstream):
    """In ranges, a page that is refused as a whole would pass piece by piece."""
    ranges = [("Range", "bytes=0-9"), ("If-Range", '"x"'), ("User-Agent", "x"), ("Accept", "*/*")]
    waf = {"mode": "block", "body": {"response": True}}
    with Gateway({"shop": tenant(upstream=upstream, waf=waf), "other": tenant("other", upstream, waf={"mode": "block"})}) as gateway:
        upstream.forget()
        assert gateway.request(headers=ranges).status == 200
        assert gateway.request(host="other.test", headers=ranges).status == 200
        inspected, other = upstream.requests
        assert inspected.header("range") is None and inspected.header("if-range") is None
        assert other.header("range") == "bytes=0-9"
