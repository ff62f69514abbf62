"""The harness's own strictness: what it accepts and what it must not, without a gateway."""
import pytest

from harness.client import Connection, request_bytes
from harness.gateway import merged, to_yaml
from harness.http1 import Buffer, Closed, Truncated, Violation, read_request_head, read_response
from harness.metrics import Metrics
from harness.upstream import Unreachable, Upstream, refused_address


def buffer(data, piece=7):
    pieces = [data[at:at + piece] for at in range(0, len(data), piece)]
    return Buffer(lambda: pieces.pop(0) if pieces else b"")


def test_reads_each_framing():
    response = read_response(buffer(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP"))
    assert (response.status, response.body, response.framing) == (200, b"abc", "length")
    response = read_response(buffer(b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nT: 1\r\n\r\n"))
    assert (response.body, response.chunks, response.trailers) == (b"abcd", [3, 1], [("t", "1")])
    response = read_response(buffer(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"))
    assert (response.body, response.framing) == (b"abc", "close")
    response = read_response(buffer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nA: b\r\n\r\n"))
    assert (response.status, response.interim[0].status, response.header("a")) == (204, 100, "b")
    assert read_response(buffer(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"), "HEAD").body == b""


@pytest.mark.parametrize("data", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\n\r\nabc",
    b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nName : x\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    b"garbage\r\n\r\n",
])
def test_refuses_what_is_ambiguous(data):
    with pytest.raises(Violation):
        read_response(buffer(data))


@pytest.mark.parametrize("data, error", [
    (b"", Closed), (b"HTTP/1.1 200", Truncated), (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", Truncated),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", Truncated),
])
def test_tells_truncation(data, error):
    with pytest.raises(error):
        read_response(buffer(data))


@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"GET /\r\nHost: a\r\n\r\n",
])
def test_upstream_refuses_what_is_ambiguous(data):
    with pytest.raises(Violation):
        read_request_head(buffer(data))


def test_upstream_records_and_echoes():
    with Upstream() as upstream, Connection(("127.0.0.1", upstream.port)) as client:
        sent = request_bytes("POST", "/x", body="hello")
        response = client.exchange(sent)
        assert response.status == 200 and b'"body_bytes": 5' in response.body
        assert client.exchange(request_bytes(target="/y")).status == 200
        assert [request.target for request in upstream.requests] == ["/x", "/y"]
        assert bytes(upstream.connections[0].received).startswith(sent)
        client.send("nonsense\r\n\r\n")
        client.expect_closed()
        assert len(upstream.violations) == 1


def test_addresses_that_hang_and_refuse():
    with Unreachable() as hanging:
        with pytest.raises(TimeoutError):
            Connection(("127.0.0.1", int(hanging.address.split(":")[1])), timeout=0.2)
    holder, address = refused_address()
    with holder, pytest.raises(ConnectionRefusedError):
        Connection(("127.0.0.1", int(address.split(":")[1])))


def test_metrics_text():
    metrics = Metrics.parse('# HELP a b\n# TYPE a counter\na{x="1",y="q\\"\\n"} 2\na{x="2",y=""} 3\nb 1e3\n')
    assert metrics.total("a") == 5 and metrics.total("a", x="1") == 2 and metrics.total("b") == 1000
    assert metrics.labels("a")[0]["y"] == 'q"\n'


def test_yaml_and_merge():
    assert to_yaml({"a": {"b": [1, "x"], "c": {}}, "d": True}) == 'a:\n  b: [1, "x"]\n  c: {}\nd: true\n'
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}}) == {"a": {"c": 2, "d": 3}}
