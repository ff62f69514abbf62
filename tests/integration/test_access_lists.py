"""Access lists of a tenant: deny wins over allow, an empty allow list is everybody."""
import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant


@pytest.fixture(scope="module")
def gateway(upstream):
    tenants = {
        "open": tenant("open", upstream, access={"deny": ["127.0.0.64/26", "203.0.113.0/24", "2001:db8:bad::/48"]}),
        "closed": tenant("closed", upstream, access={"allow": ["127.0.0.0/28", "2001:db8::/32"], "deny": ["127.0.0.9", "2001:db8:bad::/48"]}),
        "nobody": tenant("nobody", upstream, access={"deny": ["0.0.0.0/0", "::/0"]}),
    }
    with Gateway(tenants, {"trusted_proxies": ["127.0.0.5/32"]}) as running:
        yield running


@pytest.mark.parametrize("host, source, status", [
    ("open.test", "127.0.0.1", 200), ("open.test", "127.0.0.64", 403), ("open.test", "127.0.0.127", 403), ("open.test", "127.0.0.128", 200),
    ("closed.test", "127.0.0.1", 200), ("closed.test", "127.0.0.15", 200), ("closed.test", "127.0.0.16", 403),
    ("closed.test", "127.0.0.9", 403), ("nobody.test", "127.0.0.1", 403),
])
def test_by_peer(gateway, upstream, host, source, status):
    upstream.forget()
    response = gateway.request(host=host, source=source)
    assert response.status == status
    assert len(upstream.requests) == (1 if status == 200 else 0)
    if status == 403:
        assert response.has("x-request-id")


@pytest.mark.parametrize("host, forwarded, status", [
    ("open.test", "203.0.113.9", 403), ("open.test", "203.0.114.9", 200), ("open.test", "2001:db8:bad::1", 403),
    ("open.test", "::ffff:203.0.113.9", 403), ("closed.test", "2001:db8:1::1", 200), ("closed.test", "2001:db8:bad::1", 403),
    ("closed.test", "198.51.100.1", 403), ("nobody.test", "2001:db8::1", 403),
])
def test_by_the_address_that_a_trusted_proxy_names(gateway, host, forwarded, status):
    assert gateway.request(host=host, source="127.0.0.5", headers=[("X-Forwarded-For", forwarded)]).status == status


def test_an_untrusted_client_cannot_name_another_address(gateway):
    headers = [("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1"), ("Forwarded", "for=127.0.0.1")]
    assert gateway.request(host="open.test", source="127.0.0.64", headers=headers).status == 403


@pytest.mark.parametrize("method, fields", [
    ("OPTIONS", [("Max-Forwards", "0")]), ("GET", [("CDN-Loop", "gatehouse, gatehouse, gatehouse, gatehouse")])])
def test_who_is_refused_learns_nothing_else(upstream, method, fields):
    with Gateway({"shop": tenant(upstream=upstream, access={"deny": ["127.0.0.0/8"]})}) as gateway:
        assert gateway.request(method=method, headers=fields).status == 403


def test_refusals_are_counted(gateway):
    before = gateway.metric("gatehouse_local_replies_total", tenant="nobody", reason="access")
    gateway.request(host="nobody.test")
    gateway.wait_metric(before + 1, "gatehouse_local_replies_total", tenant="nobody", reason="access")


def test_the_body_of_a_refused_request_is_not_taken_for_the_next_request(gateway, upstream):
    upstream.forget()
    hidden = request_bytes(host="open.test", target="/hidden")
    with gateway.connect() as connection:
        connection.send(request_bytes("POST", "/", "nobody.test", body=hidden))
        assert connection.response().status == 403
        connection.finish_sending()
        connection.expect_closed()
    assert upstream.requests == []
