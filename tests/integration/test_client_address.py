"""Whom a request comes from: X-Forwarded-For is believed from trusted proxies only."""
import json

import pytest

from harness.client import Connection, request_bytes
from harness.gateway import Gateway, tenant
from harness.ports import free_port

TRUSTED = "127.0.0.5"


@pytest.fixture(scope="module")
def gateway(upstream):
    with Gateway({"shop": tenant(upstream=upstream)}, {"trusted_proxies": ["127.0.0.5/32", "10.0.0.0/8", "2001:db8:aaaa::/48"]}) as running:
        yield running


def send(gateway, source, headers):
    response = gateway.request(source=source, headers=headers)
    if response.status != 200:
        return response.status, None
    seen = json.loads(response.body)["headers"]
    record = gateway.access_record(http__request__id=dict(seen)["x-request-id"])
    return record["client.ip"], [value for name, value in seen if name == "x-forwarded-for"]


@pytest.mark.parametrize("headers, client", [
    ([], TRUSTED),
    ([("X-Forwarded-For", "203.0.113.9")], "203.0.113.9"),
    ([("X-Forwarded-For", "198.51.100.1, 203.0.113.9")], "203.0.113.9"),
    ([("X-Forwarded-For", "203.0.113.9, 10.1.2.3")], "203.0.113.9"),
    ([("X-Forwarded-For", "198.51.100.1,203.0.113.9 , 10.1.2.3,10.9.9.9")], "203.0.113.9"),
    ([("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "10.0.0.1")], "203.0.113.9"),
    ([("X-Forwarded-For", "2001:DB8::1")], "2001:db8::1"),
    ([("X-Forwarded-For", "::ffff:203.0.113.9")], "203.0.113.9"),
    ([("X-Forwarded-For", "2001:db8::1, 2001:db8:aaaa::7")], "2001:db8::1"),
    ([("X-Forwarded-For", "::ffff:10.0.0.1")], "10.0.0.1"),
    ([("X-Forwarded-For", "10.0.0.1, 10.0.0.2")], "10.0.0.1"),
])
def test_rightmost_untrusted_address(gateway, headers, client):
    address, seen = send(gateway, TRUSTED, headers)
    assert address == client
    assert len(seen) == 1
    assert seen[0].split(", ")[-1] == TRUSTED, "the peer is appended to what it has said"


@pytest.mark.parametrize("value", ["nonsense", "203.0.113.9, nonsense", "nonsense, 203.0.113.9, ", "203.0.113.300", "1.2.3", "010.1.1.1",
                                   "203.0.113.9;", "unknown", ":::1", "203.0.113.9 198.51.100.1", "_hidden", "2001:db8::1%eth0", "<script>"])
def test_nonsense_from_a_trusted_proxy_is_400(gateway, upstream, value):
    upstream.forget()
    assert gateway.request(source=TRUSTED, headers=[("X-Forwarded-For", value)]).status == 400
    assert upstream.requests == []


@pytest.mark.parametrize("value", ["203.0.113.9", "nonsense", "127.0.0.5", ""])
def test_what_an_untrusted_client_says_is_removed(gateway, value):
    address, seen = send(gateway, "127.0.0.1", [("X-Forwarded-For", value), ("x-forwarded-for", "10.0.0.1")])
    assert (address, seen) == ("127.0.0.1", ["127.0.0.1"])


@pytest.mark.parametrize("name, value", [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.test"), ("X-Request-Id", "mine"),
                                         ("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")])
def test_forwarded_headers_of_an_untrusted_client_are_replaced(gateway, upstream, name, value):
    upstream.forget()
    gateway.request(headers=[(name, value)])
    seen = upstream.requests[0].header(name)
    assert seen and value not in seen


def test_request_id_of_a_trusted_proxy_is_kept(gateway, upstream):
    upstream.forget()
    gateway.request(source=TRUSTED, headers=[("X-Request-Id", "0123456789abcdef0123456789abcdef")])
    assert upstream.requests[0].header("x-request-id") == "0123456789abcdef0123456789abcdef"


def test_trace_of_a_trusted_proxy_goes_on(gateway, upstream):
    upstream.forget()
    gateway.request(source=TRUSTED, headers=[("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")])
    assert upstream.requests[0].header("traceparent").split("-")[1] == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("flags", ["00", "01", "03"])
def test_the_sampling_of_a_trusted_proxy_is_kept(gateway, upstream, flags):
    upstream.forget()
    gateway.request(source=TRUSTED, headers=[("Traceparent", f"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"), ("Tracestate", "a=1"),
                                             ("Tracestate", "b=2")])
    assert upstream.requests[0].header("traceparent").split("-")[3] == flags
    assert upstream.requests[0].all("tracestate") == ["a=1", "b=2"]


@pytest.mark.parametrize("value", ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                   "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                   "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", "nonsense"])
def test_a_malformed_trace_begins_anew(gateway, upstream, value):
    """W3C Trace Context, section 4.3: tracestate is of no use without its traceparent."""
    upstream.forget()
    gateway.request(source=TRUSTED, headers=[("Traceparent", value), ("Tracestate", "a=1")])
    assert "0af7651916cd43dd8448eb211c80319c" not in upstream.requests[0].header("traceparent")
    assert upstream.requests[0].header("traceparent").endswith("-01")
    assert upstream.requests[0].all("tracestate") == []


@pytest.mark.parametrize("detail, address", [("truncated", "203.0.113.0"), ("none", None)])
def test_the_access_log_tells_no_more_than_configured(upstream, detail, address):
    config = {"access_log": {"client_ip": detail}, "trusted_proxies": ["127.0.0.1/32"]}
    with Gateway({"shop": tenant(upstream=upstream)}, config) as gateway:
        gateway.request("/four", headers=[("X-Forwarded-For", "203.0.113.9")])
        record = gateway.access_record(url__path="/four")
        assert record.get("client.ip") == address
        gateway.request("/six", headers=[("X-Forwarded-For", "2001:db8:1:2:3:4:5:6")])
        record = gateway.access_record(url__path="/six")
        assert record.get("client.ip") == ("2001:db8:1::" if address else None)


def test_both_families_on_one_listener(upstream):
    """[::] serves IPv4 too, and its clients have IPv4 addresses."""
    port = free_port()
    with Gateway({"shop": tenant(upstream=upstream)}, listeners=[{"address": f"[::]:{port}", "protocol": "http"}]) as gateway:
        for address in ("127.0.0.1", "::1"):
            upstream.forget()
            with Connection((address, port)) as connection:
                assert connection.exchange(request_bytes()).status == 200
            assert upstream.requests[0].header("x-forwarded-for") == address
