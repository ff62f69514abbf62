"""The plain listener: redirects to HTTPS, serves hosts with tls: off, answers unknown ACME tokens itself."""
import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.ports import free_port


@pytest.fixture(scope="module")
def other_port():
    return free_port()


@pytest.fixture(scope="module")
def gateway(upstream, other_port):
    hosts = [{"name": "shop.test", "tls": {"self_signed": True}}, {"name": "plain.test", "tls": "off"},
             {"name": "*.wild.test", "tls": {"self_signed": True}}]
    listener = {"address": f"127.0.0.1:{other_port}", "protocol": "http", "redirect_port": 8443}
    tenants = {"shop": tenant(upstream=upstream, hosts=hosts),
               "falsy": tenant("falsy", upstream, hosts=[{"name": "falsy.test", "tls": False}])}
    with Gateway(tenants, listeners=[listener]) as running:
        yield running


@pytest.mark.parametrize("target", ["/", "/a/b?c=d&e=%20f", "/%E2%82%AC", "/x?next=https://evil.example/"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_keeps_host_path_and_method(gateway, upstream, method, target):
    upstream.forget()
    response = gateway.request(target, method=method, body=b"x" if method == "POST" else None)
    assert response.status == 308
    assert response.header("location") == "https://shop.test" + target
    assert response.has("x-request-id")
    assert upstream.requests == []


@pytest.mark.parametrize("host, name", [("SHOP.test", "shop.test"), ("shop.test:8080", "shop.test"), ("a.wild.test", "a.wild.test")])
def test_names_the_host_without_the_plain_port(gateway, host, name):
    assert gateway.request("/x", host=host).header("location").lower() == f"https://{name}/x"


def test_names_the_redirect_port(gateway, other_port):
    assert gateway.request("/x?y", port=other_port).header("location") == "https://shop.test:8443/x?y"


def test_absolute_form_is_reduced(gateway):
    assert gateway.request("http://shop.test/x?y").header("location") == "https://shop.test/x?y"


def test_head_has_no_body(gateway):
    response = gateway.request(method="HEAD")
    assert response.status == 308 and response.body == b""


def test_connection_goes_on(gateway):
    with gateway.connect() as connection:
        for _ in range(3):
            response = connection.exchange(request_bytes(target="/x"))
            assert response.status == 308
        assert not response.closes


def test_host_without_tls_is_served(gateway):
    assert gateway.request(host="plain.test").status == 200
    assert gateway.request(host="falsy.test").status == 200, "false is what off becomes on its way through kubectl"


def test_host_without_tls_is_not_served_over_tls(gateway, upstream):
    upstream.forget()
    assert gateway.request(host="plain.test", tls=True).status == 421
    assert upstream.requests == []


def test_host_with_tls_is_served_over_tls(gateway):
    assert gateway.request(tls=True).status == 200


def test_nowhere_to_redirect_to(upstream):
    with Gateway({"all": tenant("all", upstream, hosts=[{"name": "*", "tls": {"self_signed": True}}])}) as gateway, gateway.connect() as connection:
        connection.send(b"GET /x HTTP/1.0\r\n\r\n")
        response = connection.response()
        assert response.status == 400 and response.header("location") is None


def test_unknown_host_is_not_redirected(gateway):
    assert gateway.request(host="unknown.test").status == 404


@pytest.mark.parametrize("host", ["shop.test", "plain.test", "unknown.test"])
def test_unknown_acme_token_is_404(gateway, upstream, host):
    upstream.forget()
    assert gateway.request("/.well-known/acme-challenge/token", host=host).status == 404
    assert upstream.requests == []


def test_redirects_are_counted(gateway):
    before = gateway.metric("gatehouse_local_replies_total", tenant="shop", reason="redirect")
    gateway.request("/")
    gateway.wait_metric(before + 1, "gatehouse_local_replies_total", tenant="shop", reason="redirect")
