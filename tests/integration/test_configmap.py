"""Mounted ConfigMaps and Secrets: the kubelet replaces the link ..data, and the running gateway notices it."""
import os
import ssl

import pytest

from harness.certificates import Authority
from harness.client import Connection, tls_context
from harness.configmap import Volume
from harness.gateway import Gateway, run_command, tenant, to_yaml
from harness.polling import poll
from harness.upstream import Upstream

INVALID = "tenant: shop\nnonsense: true\n"


@pytest.fixture
def soon(is_sanitized):
    """soon(condition, what): within 5 s, which is what an operator who watches expects."""
    return lambda condition, what: poll(condition, what, 20 if is_sanitized else 5)


class Mounted:
    """A gateway whose files are all mounted: platform/gateway.yaml, tenants/ and certificates/."""

    def __init__(self, tenants, config=None, certificates=None):
        self.gateway = Gateway({}, config, start=False)
        folder = self.gateway.folder
        os.unlink(self.gateway.configuration)
        self.gateway.configuration = os.path.join(folder, "platform", "gateway.yaml")
        self.tenants = Volume(os.path.join(folder, "tenants"), texts(tenants))
        self.certificates = Volume(os.path.join(folder, "certificates"), certificates or {})
        self.config = {**self.gateway.config, "tenants": "../tenants/", "policy": {"files": [self.certificates.folder]}}
        self.platform = Volume(os.path.join(folder, "platform"), {"gateway.yaml": to_yaml(self.config)})

    def __enter__(self):
        return self, self.gateway.__enter__()

    def __exit__(self, *reason):
        self.gateway.__exit__(*reason)


def texts(tenants):
    return {f"{stem}.yaml" if "." not in stem else stem: content if isinstance(content, str) else to_yaml(content)
            for stem, content in tenants.items()}


def shop(upstream, path):
    """A version of the shop that can be told by the one path that it serves."""
    return tenant(upstream=upstream, routes=[{"match": {"path": path}, "service": "web"}])


def status(gateway, path="/", host="shop.test"):
    return gateway.request(path, host=host).status


def known_tenants(gateway):
    return {labels["tenant"] for labels in gateway.metrics().labels("gatehouse_tenant_config_valid")}


def test_a_tenant_comes_changes_and_goes(upstream, soon):
    with Mounted({"shop": shop(upstream, "/first")}) as (mounted, gateway):
        assert status(gateway, "/first") == 200 and status(gateway, host="new.test") == 404
        mounted.tenants.publish(texts({"shop": shop(upstream, "/first"), "new": tenant("new", upstream)}))
        soon(lambda: status(gateway, host="new.test") == 200, "the new tenant")
        mounted.tenants.publish(texts({"shop": shop(upstream, "/second"), "new": tenant("new", upstream)}))
        soon(lambda: status(gateway, "/second") == 200 and status(gateway, "/first") == 404, "the change")
        assert status(gateway, host="new.test") == 200
        mounted.tenants.publish(texts({"shop": shop(upstream, "/second")}))
        soon(lambda: status(gateway, host="new.test") == 404, "the tenant to be gone")
        assert status(gateway, "/second") == 200
        assert known_tenants(gateway) == {"shop"}


def test_all_tenants_may_go_and_come_back(upstream, soon):
    with Mounted({"shop": tenant(upstream=upstream)}) as (mounted, gateway):
        mounted.tenants.publish({})
        soon(lambda: status(gateway) == 404, "the last tenant to be gone")
        mounted.tenants.publish(texts({"shop": tenant(upstream=upstream)}))
        soon(lambda: status(gateway) == 200, "the tenant to be back")


def test_an_invalid_tenant_keeps_its_last_valid_version(upstream, soon):
    with Mounted({"shop": shop(upstream, "/first"), "other": tenant("other", upstream)}) as (mounted, gateway):
        changed = tenant("other", upstream, routes=[{"match": {"path": "/changed"}, "service": "web"}])
        mounted.tenants.publish(texts({"shop": INVALID, "other": changed}))
        soon(lambda: gateway.metric("gatehouse_tenant_config_valid", tenant="shop") == 0, "the mistake to be seen")
        assert status(gateway, "/first") == 200, "the last valid version serves on"
        assert status(gateway, "/changed", "other.test") == 200 and status(gateway, "/", "other.test") == 404
        mounted.tenants.publish(texts({"shop": shop(upstream, "/mended"), "other": changed}))
        soon(lambda: status(gateway, "/mended") == 200, "the mended tenant")
        assert gateway.metric("gatehouse_tenant_config_valid", tenant="shop") == 1


def test_between_the_steps_of_the_kubelet(upstream, soon):
    """A node that is busy may take its time between them: a dangling link must not stop the others from being updated."""
    with Mounted({"shop": shop(upstream, "/first"), "gone": tenant("gone", upstream)}) as (mounted, gateway):
        files = texts({"shop": shop(upstream, "/second"), "new": tenant("new", upstream)})
        mounted.tenants.swap(files)
        soon(lambda: status(gateway, "/second") == 200, "the change, while gone.yaml leads to nothing")
        mounted.tenants.link(files)
        soon(lambda: status(gateway, host="new.test") == 200, "the new tenant")
        mounted.tenants.tidy(files)
        soon(lambda: status(gateway, host="gone.test") == 404, "the tenant to be gone")
        assert known_tenants(gateway) == {"shop", "new"}


def test_many_versions_in_a_row_end_with_the_last(upstream, soon):
    with Mounted({"shop": shop(upstream, "/0")}) as (mounted, gateway):
        for number in range(1, 21):
            mounted.tenants.publish(texts({"shop": shop(upstream, f"/{number}")}))
        soon(lambda: status(gateway, "/20") == 200, "the last version")
        assert status(gateway, "/19") == 404


def test_hidden_entries_are_no_tenants(upstream):
    """..data and ..2026 are folders with the same files; a key may begin with a dot, which is how one puts it aside."""
    tenants = {"shop": tenant(upstream=upstream), ".draft.yaml": tenant("draft", upstream)}
    with Mounted(tenants) as (mounted, gateway):
        os.symlink("..data", os.path.join(mounted.tenants.folder, "..data.yaml"))   # hidden, whatever it ends in
        checked = run_command("check", "-v", "--config", gateway.configuration)
        assert checked.returncode == 0 and "1 tenants, 1 hosts" in checked.stdout, checked
        assert status(gateway) == 200 and status(gateway, host="draft.test") == 404
        assert known_tenants(gateway) == {"shop"}
        assert "claim" not in gateway.log, "no file was read twice"


def test_the_platforms_file(upstream, soon):
    with Mounted({"shop": tenant(upstream=upstream)}) as (mounted, gateway):
        long = "/" + "x" * 2000
        assert status(gateway, long) == 200
        mounted.platform.publish({"gateway.yaml": to_yaml({**mounted.config, "limits": {"target_bytes": "1KiB"}})})
        soon(lambda: status(gateway, long) == 414, "the new limit")

        mounted.platform.publish({"gateway.yaml": "nonsense: true\n"})
        soon(lambda: gateway.metric("gatehouse_config_last_reload_successful") == 0, "the mistake to be seen")
        assert status(gateway, long) == 414 and status(gateway) == 200, "the old one serves on"

        mounted.platform.publish({"gateway.yaml": to_yaml(mounted.config)})
        soon(lambda: status(gateway, long) == 200, "the mended file")
        assert gateway.metric("gatehouse_config_last_reload_successful") == 1


def test_a_platforms_file_that_is_gone_for_a_while(upstream, soon):
    """A ConfigMap that lost its key by mistake: the gateway serves on, and takes the key when it is back."""
    with Mounted({"shop": tenant(upstream=upstream)}) as (mounted, gateway):
        mounted.platform.publish({"other.yaml": ""})
        soon(lambda: gateway.metric("gatehouse_config_last_reload_successful") == 0, "the mistake to be seen")
        assert status(gateway) == 200
        mounted.platform.publish({"gateway.yaml": to_yaml({**mounted.config, "limits": {"target_bytes": "1KiB"}})})
        soon(lambda: status(gateway, "/" + "x" * 2000) == 414, "the file that is back")


def secure_shop(mounted_folder, upstream):
    return tenant(upstream=upstream, hosts=[{"name": "shop.test", "tls": {
        "certificate_file": f"{mounted_folder}/shop/tls.crt", "key_file": f"{mounted_folder}/shop/tls.key"}}])


@pytest.fixture
def issue(tmp_path):
    """A Secret of type kubernetes.io/tls for the shop, by an authority of its own each time."""
    def made(name):
        authority = Authority(tmp_path / name)
        certificate, key = authority.issue("shop.test")
        with open(certificate, encoding="ascii") as chain, open(key, encoding="ascii") as secret:
            return authority, {"shop/tls.crt": chain.read(), "shop/tls.key": secret.read()}
    return made


def trusted(gateway, authority):
    try:
        with Connection(gateway.https, tls=tls_context(authority.certificate), server_name="shop.test"):
            return True
    except ssl.SSLError:
        return False


def test_a_certificate_is_renewed(upstream, soon, issue):
    old, old_files = issue("old")
    new, new_files = issue("new")
    mounted = Mounted({}, certificates=old_files)
    mounted.tenants.publish(texts({"shop": secure_shop(mounted.certificates.folder, upstream)}))
    with mounted as (mounted, gateway):
        assert trusted(gateway, old)
        mounted.certificates.publish(new_files)
        soon(lambda: trusted(gateway, new), "the new certificate")
        assert not trusted(gateway, old)


@pytest.mark.parametrize("at_start", [True, False])
def test_a_secret_that_comes_after_its_tenant(upstream, soon, issue, at_start):
    """Nobody orders ConfigMaps and Secrets: the tenant is left out until its certificate is there."""
    authority, files = issue("late")
    mounted = Mounted({"other": tenant("other", upstream)})
    both = texts({"other": tenant("other", upstream), "shop": secure_shop(mounted.certificates.folder, upstream)})
    if at_start:
        mounted.tenants.publish(both)
    with mounted as (mounted, gateway):
        if not at_start:
            mounted.tenants.publish(both)
        soon(lambda: "shop" in known_tenants(gateway), "the tenant that lacks its certificate")
        assert gateway.metric("gatehouse_tenant_config_valid", tenant="shop") == 0
        assert status(gateway, host="other.test") == 200
        mounted.certificates.publish(files)
        soon(lambda: trusted(gateway, authority), "the certificate that came late")
        assert gateway.metric("gatehouse_tenant_config_valid", tenant="shop") == 1


def test_a_secret_that_comes_after_the_platforms_file(upstream, soon):
    with Mounted({"shop": tenant(upstream=upstream)}) as (mounted, gateway):
        password = os.path.join(gateway.folder, "secrets", "redis-password")
        secrets = Volume(os.path.dirname(password), {})
        mounted.platform.publish({"gateway.yaml": to_yaml({
            **mounted.config, "limits": {"target_bytes": "1KiB"},
            "redis": {"url": "redis://127.0.0.1:9/0", "password_file": password}})})
        soon(lambda: gateway.metric("gatehouse_config_last_reload_successful") == 0, "the missing file to be seen")
        assert status(gateway) == 200
        secrets.publish({"redis-password": "secret\n"})
        soon(lambda: gateway.metric("gatehouse_config_last_reload_successful") == 1, "the file that came late")
        assert status(gateway, "/" + "x" * 2000) == 414


def test_the_authority_of_a_services_certificate_is_renewed(soon, tmp_path):
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*new.issue("web.internal"))

    def bundle(authority):
        with open(authority.certificate, encoding="ascii") as file:
            return {"web/ca.crt": file.read()}
    with Upstream(tls=context) as secure:
        mounted = Mounted({}, certificates=bundle(old))
        service = {"protocol": "https", "tls": {"ca_file": f"{mounted.certificates.folder}/web/ca.crt", "server_name": "web.internal"},
                   "sites": [{"site": "here", "endpoints": [secure.address]}]}
        mounted.tenants.publish(texts({"shop": tenant(upstream=secure, services={"web": service})}))
        with mounted as (mounted, gateway):
            assert status(gateway) == 502, "signed by an authority that is not trusted"
            mounted.certificates.publish(bundle(new))
            soon(lambda: status(gateway) == 200, "the new authority")
