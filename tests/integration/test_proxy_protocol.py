"""PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt)."""
import contextlib
import socket
import struct

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.http1 import Closed, Truncated
from harness.ports import free_port

TRUSTED, UNTRUSTED = "127.0.0.5", "127.0.0.6"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command=1, family=0x11, addresses=None, tlvs=b"", version=2, length=None):
    if addresses is None:
        addresses = socket.inet_aton("203.0.113.9") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 5000, 443)
    body = addresses + tlvs
    return SIGNATURE + bytes([version << 4 | command, family]) + struct.pack("!H", len(body) if length is None else length) + body


V2_SIX = v2(family=0x21, addresses=socket.inet_pton(socket.AF_INET6, "2001:db8::9") + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
            + struct.pack("!HH", 5000, 443))


@pytest.fixture(scope="module")
def ports():
    return {"http": free_port(), "https": free_port()}


@pytest.fixture(scope="module")
def gateway(upstream, ports):
    hosts = [{"name": "shop.test", "tls": "off"}, {"name": "secure.test", "tls": {"self_signed": True}}]
    listeners = [{"address": f"127.0.0.1:{port}", "protocol": protocol, "proxy_protocol": "required"} for protocol, port in ports.items()]
    with Gateway({"shop": tenant(upstream=upstream, hosts=hosts)}, {"trusted_proxies": [TRUSTED + "/32"], "timeouts": {"request_header": "1s"}},
                 listeners=listeners) as running:
        yield running


def client_seen(upstream):
    return upstream.requests[0].header("x-forwarded-for").split(", ")[0]


@pytest.mark.parametrize("header, client", [
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 5000 443\r\n", "203.0.113.9"),
    (b"PROXY TCP6 2001:db8::9 2001:db8::1 5000 443\r\n", "2001:db8::9"),
    (b"PROXY UNKNOWN\r\n", TRUSTED),
    (b"PROXY UNKNOWN ff::1 ff::2 1 2\r\n", TRUSTED),
    (v2(), "203.0.113.9"),
    (V2_SIX, "2001:db8::9"),
    (v2(command=0, family=0, addresses=b""), TRUSTED),
    (v2(command=0), TRUSTED),
    (v2(family=0, addresses=b""), TRUSTED),
    (v2(tlvs=b"\x02\x00\x04host" + b"\x04\x00\x03\0\0\0"), "203.0.113.9"),
])
@pytest.mark.parametrize("protocol", ["http", "https"])
def test_names_the_client(gateway, upstream, ports, protocol, header, client):
    upstream.forget()
    host = "shop.test" if protocol == "http" else "secure.test"
    with gateway.connect(port=ports[protocol], prefix=header, source=TRUSTED, tls=(protocol == "https") or None, server_name=host) as connection:
        assert connection.exchange(request_bytes(host=host)).status == 200
        assert connection.exchange(request_bytes(host=host, target="/again")).status == 200
    assert client_seen(upstream) == client
    assert upstream.requests[1].header("x-forwarded-for") == upstream.requests[0].header("x-forwarded-for")


def test_byte_by_byte(gateway, upstream, ports):
    for header in (b"PROXY TCP4 203.0.113.9 192.0.2.1 5000 443\r\n", v2()):
        upstream.forget()
        with gateway.connect(port=ports["http"], source=TRUSTED) as connection:
            for byte in header:
                connection.send(bytes([byte]))
            assert connection.exchange(request_bytes()).status == 200
        assert client_seen(upstream) == "203.0.113.9"


def test_together_with_the_request(gateway, upstream, ports):
    upstream.forget()
    with gateway.connect(port=ports["http"], source=TRUSTED) as connection:
        assert connection.exchange(v2() + request_bytes() + request_bytes()).status == 200
        assert connection.response().status == 200
    assert client_seen(upstream) == "203.0.113.9"


def expect_no_service(connection, upstream):
    outcome = connection.outcome()
    assert isinstance(outcome, (Closed, Truncated)) or outcome.status == 400
    connection.expect_closed()
    assert upstream.requests == []


@pytest.mark.parametrize("header", [
    b"", b"PROXY TCP4 203.0.113.9 192.0.2.1 5000\r\n", b"PROXY TCP4 203.0.113.9 192.0.2.1 5000 443\n", b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
    b"PROXY TCP5 203.0.113.9 192.0.2.1 5000 443\r\n", b"PROXY TCP4 203.0.113.999 192.0.2.1 5000 443\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 5000 99999\r\n", b"PROXY TCP4  203.0.113.9 192.0.2.1 5000 443\r\n", b"PROXY " + b"A" * 200 + b"\r\n",
    b"proxy TCP4 203.0.113.9 192.0.2.1 5000 443\r\n", v2(version=1), v2(command=7), v2(addresses=b"abc"), v2(tlvs=b"\x02\xff\xffx"),
    v2(family=0x21), v2(length=65535),
])
def test_malformed_or_missing_is_refused(gateway, upstream, ports, header):
    upstream.forget()
    with gateway.connect(port=ports["http"], source=TRUSTED) as connection:
        connection.try_send(header + request_bytes())
        expect_no_service(connection, upstream)


@pytest.mark.parametrize("header", [b"PROXY TCP4 203.0.113.9 192.0.2.1 5000 443\r\n", v2(), b""])
def test_untrusted_peer_is_not_served_where_it_is_required(gateway, upstream, ports, header):
    upstream.forget()
    with gateway.connect(port=ports["http"], source=UNTRUSTED) as connection:
        connection.try_send(header + request_bytes())
        expect_no_service(connection, upstream)


@pytest.mark.parametrize("source", [TRUSTED, UNTRUSTED])
@pytest.mark.parametrize("header", [b"PROXY TCP4 203.0.113.9 192.0.2.1 5000 443\r\n", v2()])
def test_refused_on_other_listeners(gateway, upstream, source, header):
    upstream.forget()
    with gateway.connect(source=source) as connection:
        connection.try_send(header + request_bytes())
        expect_no_service(connection, upstream)
    with gateway.connect(port=gateway.https_port, source=source) as connection:
        connection.try_send(header + b"\x16\x03\x01")
        connection.finish_sending()
        with contextlib.suppress(Truncated, ConnectionError):
            connection.buffer.take_all()  # an alert is allowed


def test_a_second_header_is_a_bad_request(gateway, upstream, ports):
    upstream.forget()
    with gateway.connect(port=ports["http"], source=TRUSTED) as connection:
        connection.try_send(b"PROXY TCP4 203.0.113.9 192.0.2.1 5000 443\r\n" * 2 + request_bytes())
        expect_no_service(connection, upstream)


def test_a_header_that_does_not_come_is_waited_for_not_long(gateway, ports):
    with gateway.connect(port=ports["http"], source=TRUSTED) as connection:
        connection.send(b"PROXY TC")
        connection.expect_closed(10)


def test_both_headers_together(gateway, upstream, ports):
    """The PROXY header names the peer; it is not a trusted proxy, so what it forwards is not believed."""
    upstream.forget()
    with gateway.connect(port=ports["http"], prefix=v2(), source=TRUSTED) as connection:
        assert connection.exchange(request_bytes(headers=[("X-Forwarded-For", "198.51.100.1")])).status == 200
    assert upstream.requests[0].header("x-forwarded-for") == "203.0.113.9"


def test_connections_are_counted_by_the_client_that_is_named(upstream):
    """After the header, and IPv6 clients by /64: a household, not an address of its millions."""
    def six(address):
        return v2(family=0x21, addresses=socket.inet_pton(socket.AF_INET6, address) + socket.inet_pton(socket.AF_INET6, "2001:db8::1") + struct.pack("!HH", 5000, 443))

    def served(gateway, header):
        connection = gateway.connect(port=port, prefix=header, source=TRUSTED)
        connection.try_send(request_bytes())
        outcome = connection.outcome()
        if isinstance(outcome, (Closed, Truncated)):
            connection.close()
            return None
        assert outcome.status == 200
        return connection

    port = free_port()
    with Gateway({"shop": tenant(upstream=upstream)}, {"trusted_proxies": [TRUSTED + "/32"], "limits": {"connections_per_client": 2}},
                 listeners=[{"address": f"127.0.0.1:{port}", "protocol": "http", "proxy_protocol": "required"}]) as gateway:
        held = [served(gateway, six("2001:db8:1:1::1")), served(gateway, six("2001:db8:1:1:ffff::2"))]
        assert all(held)
        assert served(gateway, six("2001:db8:1:1::3")) is None
        held += [served(gateway, six("2001:db8:1:2::1")), served(gateway, v2()), served(gateway, v2())]
        assert all(held)
        assert served(gateway, v2()) is None
        for connection in held:
            connection.close()
