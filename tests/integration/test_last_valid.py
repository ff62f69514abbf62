"""What a tenant keeps while its file, its certificate or gateway.yaml is wrong: its last valid version, and its hosts."""
import json
import os
import shutil
import signal

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant, to_yaml
from harness.polling import poll
from harness.upstream import Upstream

UNSERVABLE = {"mode": "block", "rules_before": "SecRuleEngine Off\n"}   # reads well, and fails when it is built


@pytest.fixture(scope="module")
def other():
    with Upstream(name="other") as server:
        yield server


def reload(gateway):
    """SIGHUP, and waits until it is done. Returns whether it counted as a success."""
    before = gateway.metric("gatehouse_config_reloads_total")
    gateway.signal(signal.SIGHUP)
    gateway.wait_metric(lambda value: value > before, "gatehouse_config_reloads_total")
    return gateway.metric("gatehouse_config_last_reload_successful") == 1


def plain(*names):
    return [{"name": name, "tls": "off"} for name in names]


def served_by(gateway, host, **options):
    """The tenant under whose name a request of this host is counted, and the status."""
    path = f"/{os.urandom(6).hex()}"
    status = gateway.request(path, host=host, **options).status
    return gateway.access_record(url__path=path)["labels.tenant"], status


def is_valid(gateway, name):
    return gateway.metric("gatehouse_tenant_config_valid", tenant=name) == 1


class Secure:
    """A gateway whose shop has a certificate in its own folder, and whose other tenant serves whatever nobody claims."""

    def __init__(self, authority, upstream, other):
        self.pairs = [authority.issue(name, ["shop.test"]) for name in ("first", "second")]
        hosts = [{"name": "shop.test", "tls": {"certificate_file": "tls.crt", "key_file": "tls.key"}}, *plain("plain.test")]
        self.tenant = tenant("shop", upstream, hosts=hosts)
        self.gateway = Gateway({"any": tenant("any", other, hosts=plain("*")), "shop": self.tenant}, start=False)
        self.folder = os.path.join(self.gateway.tenants_folder, "shop.d")
        os.mkdir(self.folder)
        self.put(0, 0)

    def put(self, certificate, key):
        shutil.copy(self.pairs[certificate][0], os.path.join(self.folder, "tls.crt"))
        shutil.copy(self.pairs[key][1], os.path.join(self.folder, "tls.key"))

    def shown(self):
        with self.gateway.connect(tls=True, server_name="shop.test") as connection:
            assert connection.exchange(request_bytes(host="shop.test")).status == 200
            return connection.socket.getpeercert(binary_form=True)


@pytest.fixture
def secure(authority, upstream, other):
    made = Secure(authority, upstream, other)
    with made.gateway:
        yield made


# Hosts and names: nobody gets another's by a version that is not in its file any more

@pytest.mark.parametrize("broken", [{"waf": UNSERVABLE}, {"nonsense": True}])
def test_a_last_valid_version_takes_no_host_below_anothers_wildcard(upstream, other, broken):
    bob = tenant("bob", upstream, hosts=plain("*.bob.test"))
    with Gateway({"bob": bob, "zed": tenant("zed", other, hosts=plain("zed.test", "login.bob.test"))}) as gateway:
        assert served_by(gateway, "login.bob.test") == ("bob", 200) and not is_valid(gateway, "zed")
        gateway.write_tenant("zed", tenant("zed", other, hosts=plain("zed.test"), **broken))
        reload(gateway)
        assert served_by(gateway, "login.bob.test") == ("bob", 200)
        assert served_by(gateway, "zed.test") == ("zed", 200), "what it had it keeps"
        assert is_valid(gateway, "bob") and not is_valid(gateway, "zed")


def test_a_last_valid_version_takes_no_name_from_the_file_that_is_called_after_it(upstream, other):
    with Gateway({"zed": tenant("bob", other, hosts=plain("zed.test"))}) as gateway:
        gateway.write_tenant("zed", tenant("zed", other, hosts=plain("zed.test"), waf=UNSERVABLE))
        gateway.write_tenant("bob", tenant("bob", upstream))
        reload(gateway)
        assert served_by(gateway, "bob.test") == ("bob", 200)
        assert served_by(gateway, "zed.test") == ("zed", 503), "its last valid version has no name of its own"


def test_a_host_comes_back_when_who_took_it_falls_back(upstream, other):
    """The earlier file's new version claimed it, but cannot be served."""
    with Gateway({"aaa": tenant("aaa", other), "shop": tenant("shop", upstream)}) as gateway:
        gateway.write_tenant("aaa", tenant("aaa", other, hosts=plain("aaa.test", "shop.test"), waf=UNSERVABLE))
        reload(gateway)
        assert served_by(gateway, "shop.test") == ("shop", 200) and is_valid(gateway, "shop")


def test_a_tenant_that_lost_a_host_goes_on_changing(upstream, other):
    """Who claims one of its hosts does not freeze its configuration."""
    with Gateway({"shop": tenant("shop", upstream, hosts=plain("shop.test", "b.test")), "evil": tenant("evil", other, hosts=plain("b.test"))}) as gateway:
        gateway.write_tenant("shop", tenant("shop", upstream, hosts=plain("shop.test", "b.test"), routes=[{"match": {"path": "/new"}, "service": "web"}]))
        reload(gateway)
        assert gateway.request("/new").status == 200 and gateway.request("/old").status == 404


# Certificates

@pytest.mark.parametrize("breakage", ["half rotated", "damaged", "gone", "empty"])
def test_a_broken_certificate_keeps_the_last_good_one(secure, breakage):
    first = secure.shown()
    certificate = os.path.join(secure.folder, "tls.crt")
    if breakage == "half rotated":
        secure.put(1, 0)
    elif breakage == "gone":
        os.unlink(certificate)
    else:
        with open(certificate, "w", encoding="ascii") as file:
            file.write("" if breakage == "empty" else "-----BEGIN CERTIFICATE-----\nAAAA\n")
    reload(secure.gateway)
    assert secure.shown() == first
    assert served_by(secure.gateway, "plain.test") == ("shop", 200) and not is_valid(secure.gateway, "shop")
    secure.put(1, 1)
    reload(secure.gateway)
    assert secure.shown() != first and is_valid(secure.gateway, "shop")


def test_a_certificate_is_renewed_under_a_last_valid_version(secure):
    """The file has an error for weeks; certificates go on."""
    first = secure.shown()
    secure.gateway.write_tenant("shop", {**secure.tenant, "nonsense": True})
    reload(secure.gateway)
    assert secure.shown() == first
    secure.put(1, 1)
    reload(secure.gateway)
    assert secure.shown() != first and not is_valid(secure.gateway, "shop")


def test_a_broken_authority_of_a_service_keeps_the_last_good_one(authority, tmp_path):
    import ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("internal.test"))
    authorities = shutil.copy(authority.certificate, tmp_path / "ca.pem")
    with Upstream(tls=context) as upstream:
        service = {"protocol": "https", "tls": {"ca_file": str(authorities), "server_name": "internal.test"}, "sites": [{"site": "here", "endpoints": [upstream.address]}]}
        with Gateway({"shop": tenant(services={"web": service})}, files=[tmp_path]) as gateway:
            with open(authorities, "a", encoding="ascii") as file:
                file.write("-----BEGIN CERTIFICATE-----\nAAAA\n")
            reload(gateway)
            assert gateway.request().status == 200 and not is_valid(gateway, "shop")


# Who cannot be served at all

@pytest.mark.parametrize("broken", [{"waf": UNSERVABLE}, {"nonsense": True}, {"hosts": [{"name": "x.shop.test", "tls": "nonsense"}]}])
def test_hosts_of_a_tenant_that_cannot_be_served_are_nobody_elses(upstream, other, broken):
    shop = tenant("shop", upstream, **{"hosts": plain("x.shop.test"), **broken})
    tenants = {"any": tenant("any", other, hosts=plain("*")), "shop": shop, "wild": tenant("wild", other, hosts=plain("*.shop.test"))}
    with Gateway(tenants) as gateway:
        assert served_by(gateway, "x.shop.test") == ("shop", 503)
        assert gateway.request(host="x.shop.test").has("retry-after")
        gateway.wait_metric(lambda value: value == 2, "gatehouse_local_replies_total", tenant="shop", reason="no_endpoint")
        assert served_by(gateway, "any.test") == ("any", 200)
        assert not is_valid(gateway, "shop")
        state = {entry["name"]: entry for entry in gateway.status_page()["tenants"]}
        assert not state["shop"]["serving"]
        gateway.write_tenant("shop", tenant("shop", upstream, hosts=plain("x.shop.test")))
        reload(gateway)
        assert served_by(gateway, "x.shop.test") == ("shop", 200)


def test_without_a_certificate_a_host_is_503_on_every_listener(authority, upstream, other):
    secure = Secure(authority, upstream, other)
    secure.put(1, 0)
    with secure.gateway as gateway:
        assert served_by(gateway, "shop.test") == ("shop", 503)
        assert served_by(gateway, "shop.test", tls=True) == ("shop", 503)
        assert served_by(gateway, "plain.test") == ("shop", 503)
        secure.put(1, 1)
        poll(lambda: gateway.request(host="plain.test").status == 200, "the certificate to be noticed")


# What gateway.yaml forbids from now on

def test_a_last_valid_version_is_judged_under_the_present_gateway_file(gateway_with_broken_shop, upstream):
    gateway = gateway_with_broken_shop
    assert served_by(gateway, "shop.test") == ("shop", 200)
    gateway.write_config(redis={"url": f"redis://{upstream.address}/0"})
    reload(gateway)
    upstream.forget()
    assert served_by(gateway, "shop.test") == ("shop", 503)
    assert not [request for request in upstream.requests if request.method == "GET"]
    gateway.wait_log("the last valid version cannot be served either")
    gateway.write_config(redis=None)
    reload(gateway)
    assert served_by(gateway, "shop.test") == ("shop", 200), "and is permitted again"


def test_a_last_valid_version_survives_other_changes_of_the_gateway_file(secure):
    first = secure.shown()
    os.unlink(os.path.join(secure.folder, "tls.crt"))
    reload(secure.gateway)
    secure.gateway.write_config(limits={"target_bytes": "1KiB"})
    assert reload(secure.gateway)
    assert secure.shown() == first
    assert secure.gateway.request("/" + "a" * 2000, host="plain.test").status == 414


@pytest.fixture
def gateway_with_broken_shop(upstream):
    with Gateway({"shop": tenant(upstream=upstream)}) as gateway:
        gateway.write_tenant("shop", to_yaml(tenant(upstream=upstream)) + "nonsense: true\n")
        reload(gateway)
        yield gateway


# A reload that fails

def test_health_checks_go_on_when_a_reload_fails_at_its_end(tmp_path):
    """A log that cannot be opened is seen last. A named pipe that nobody reads is such a one."""
    health = {"path": "/healthz", "interval": "100ms", "timeout": "500ms", "unhealthy_after": 1, "healthy_after": 1}
    os.mkfifo(tmp_path / "pipe")
    with Upstream(name="well", health="/healthz") as well, Upstream(name="ill", health="/healthz") as ill:
        def shop(**more):
            return tenant(services={"web": {"sites": [{"site": "here", "endpoints": [well.address, ill.address]}], **more}})
        with Gateway({"shop": shop(health=health)}) as gateway:
            gateway.write_tenant("shop", shop())
            gateway.write_config(audit_log={"path": str(tmp_path / "pipe")})
            assert not reload(gateway)
            gateway.wait_log("nobody reads the named pipe")
            ill.healthy = False
            gateway.wait_metric(0, "gatehouse_endpoint_healthy", endpoint=ill.address)
            assert {json.loads(gateway.request().body)["upstream"] for _ in range(6)} == {"well"}
