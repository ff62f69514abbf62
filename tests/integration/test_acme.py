"""Certificates obtained from a real CA: Pebble, with a fifth of all nonces refused."""
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

from harness.gateway import Gateway, binary, tenant
from harness.name_server import NameServer
from harness.pebble import Pebble
from harness.polling import poll

pytestmark = pytest.mark.skipif(not shutil.which("pebble"), reason="Pebble is not installed")


def served(gateway, name, root=None):
    """The certificate in DER that a handshake for the name shows; None if it is not from the root."""
    context = ssl.create_default_context(cadata=root) if root else ssl._create_unverified_context()
    try:
        with socket.create_connection(("127.0.0.1", gateway.https_port), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname=name) as tls:
                return tls.getpeercert(binary_form=True)
    except ssl.SSLCertVerificationError:
        return None


def wait_served(gateway, name, root, *, other_than=None):
    def found():
        certificate = served(gateway, name, root)
        return certificate if certificate != other_than else None
    return poll(found, f"a certificate for {name}", deadline=60)


def acme_tenant(name, upstream, hosts, authority="default"):
    return tenant(name, upstream, hosts=[{"name": host, "tls": {"acme": authority}} for host in hosts])


def gateway_for(tmp_path, authority, upstream, hosts, *, pebble=None, config=None, start=True, **acme):
    """A gateway and the CA that validates it: each must know the other's ports."""
    gateway = Gateway({"shop": acme_tenant("shop", upstream, hosts)}, folder=str(tmp_path), start=False)
    ca = Pebble(authority, http_port=gateway.http_port, tls_port=gateway.https_port, **(pebble or {}))
    gateway.write_config(acme={"default": {"directory": ca.directory, "email": "ops@example.com", "ca_file": ca.ca_file, **acme}},
                         **(config or {}))
    if start:
        gateway.start()
    return gateway, ca


def certs(gateway, *arguments):
    return subprocess.run([binary(), "certs", "--admin", f"127.0.0.1:{gateway.admin_port}", *arguments], capture_output=True,
                          text=True, timeout=30)


def host_status(gateway, name):
    hosts = [host for each in gateway.status_page()["tenants"] for host in each["hosts"]]
    return next(host for host in hosts if host["name"] == name)


def test_a_gateway_that_starts_answers_the_challenges_that_are_stored(tmp_path, upstream):
    """Its fellow who asked for the certificate counts on it from the moment that it is there."""
    folder = tmp_path / "state" / "certificates"
    (folder / "items").mkdir(parents=True, mode=0o700)
    challenge = {"type": "http-01", "ip": False, "name": "www.example.test", "token": "a-token", "answer": "a-token.thumbprint"}
    (folder / "items" / "challenges").write_text("gatehouse-item 1 7\n" + json.dumps({"format": 1, "challenges": [challenge]}))
    (folder / ".state").write_text("epoch 7 1\n")
    with open(folder / ".lease", "w", encoding="ascii") as lease:
        fcntl.flock(lease, fcntl.LOCK_EX)   # another leads, and has put the challenge there
        gateway = Gateway({"shop": acme_tenant("shop", upstream, ["www.example.test"])}, folder=str(tmp_path), start=False)
        gateway.write_config(acme={"default": {"directory": "https://127.0.0.1:9/directory"}})
        with gateway:
            answer = gateway.request("/.well-known/acme-challenge/a-token", host="www.example.test")
            assert (answer.status, answer.body) == (200, b"a-token.thumbprint")


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_certificates_are_obtained_and_outlive_a_restart(tmp_path, authority, upstream, challenge):
    names = ["www.example.test", "api.example.test"]
    gateway, pebble = gateway_for(tmp_path, authority, upstream, names, challenge=challenge)
    with pebble, gateway:
        root = pebble.root()
        before = [wait_served(gateway, name, root) for name in names]
        gateway.wait_metric(2, "gatehouse_acme_orders_total", result="success")
        assert gateway.metric("gatehouse_certificate_not_after_seconds", host=names[0]) > 0
        gateway.stop()
        gateway.start()
        assert [served(gateway, name) for name in names] == before, "what is stored is served from the first connection on"
        assert pebble.count("There are now 2 orders") <= 1 and pebble.count("There are now 3 orders") == 0
        assert gateway.request("/", host=names[0], tls=True).status == 200


def test_until_there_is_a_certificate_a_self_signed_one_serves(tmp_path, authority, upstream):
    gateway, pebble = gateway_for(tmp_path, authority, upstream, ["www.example.test"], start=False)
    pebble.stop_ca()
    with pebble, gateway:
        assert gateway.request("/", host="www.example.test", tls=True).status == 200
        state = poll(lambda: (host_status(gateway, "www.example.test")["certificate"] or {}).get("last_error")
                     and host_status(gateway, "www.example.test")["certificate"], "the error in the status")
        assert state["self_signed"] and "the CA did not answer" in state["last_error"], state
        with gateway.connect(tls=True, server_name="www.example.test") as kept:
            pebble.run()
            assert certs(gateway, "renew", "www.example.test").returncode == 0
            wait_served(gateway, "www.example.test", pebble.root())
            # A connection from before the certificate came still speaks for its host.
            kept.send(b"GET / HTTP/1.1\r\nhost: www.example.test\r\n\r\n")
            assert kept.response().status == 200


def test_commands(tmp_path, authority, upstream):
    name = "www.example.test"
    gateway, pebble = gateway_for(tmp_path, authority, upstream, [name, "own.example.test"])
    with pebble, gateway:
        root = pebble.root()
        first = wait_served(gateway, name, root)
        wait_served(gateway, "own.example.test", root)

        listed = certs(gateway, "list")
        assert listed.returncode == 0 and name in listed.stdout and "Pebble" in listed.stdout

        assert certs(gateway, "renew", name).returncode == 0
        second = wait_served(gateway, name, root, other_than=first)
        assert certs(gateway, "revoke", name, "--reason", "keyCompromise").returncode == 0
        third = wait_served(gateway, name, root, other_than=second)
        assert third != first
        serial = ssl.DER_cert_to_PEM_cert(second)
        assert pebble_says_revoked(pebble, serial)

        chain, key = authority.issue("own.example.test")
        imported = certs(gateway, "import", "own.example.test", "--chain", str(chain), "--key", str(key))
        assert imported.returncode == 0, imported.stderr
        with open(authority.certificate, encoding="ascii") as file:
            wait_served(gateway, "own.example.test", file.read())
        wrong = certs(gateway, "import", name, "--chain", str(chain), "--key", str(key))
        assert wrong.returncode == 1 and "not for www.example.test" in wrong.stderr

        rolled = certs(gateway, "roll-over")
        assert rolled.returncode == 0, rolled.stderr
        assert certs(gateway, "renew", name).returncode == 0
        wait_served(gateway, name, root, other_than=third)

        unknown = certs(gateway, "renew", "nobody.test")
        assert unknown.returncode == 1 and "no tenant's host" in unknown.stderr


def pebble_says_revoked(pebble, pem):
    text = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=pem, capture_output=True, text=True, check=True).stdout
    serial = text.strip().split("=")[1].lower()
    return '"Revoked"' in pebble.management(f"/cert-status-by-serial/{serial}").decode()


def test_commands_are_not_for_web_pages(tmp_path, authority, upstream):
    gateway, pebble = gateway_for(tmp_path, authority, upstream, ["www.example.test"])
    with pebble, gateway:
        target = "/certificates/renew?host=www.example.test"
        assert gateway.admin(target, method="POST").status == 403
        assert gateway.admin(target).status == 404
        wait_served(gateway, "www.example.test", pebble.root())


def test_what_is_stored_is_for_the_gateway_alone(tmp_path, authority, upstream):
    gateway, pebble = gateway_for(tmp_path, authority, upstream, ["www.example.test"])
    with pebble, gateway:
        wait_served(gateway, "www.example.test", pebble.root())
        folder = os.path.join(str(tmp_path), "state", "certificates")
        for place, _, files in os.walk(folder):
            assert os.stat(place).st_mode & 0o077 == 0, place
            for file in files:
                assert os.stat(os.path.join(place, file)).st_mode & 0o077 == 0, file
        assert "PRIVATE KEY" not in gateway.log and "PRIVATE KEY" not in str(gateway.status_page())


def test_external_account_binding(tmp_path, authority, upstream):
    key = tmp_path / "mac.key"
    key.write_text("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\n")
    gateway, pebble = gateway_for(
        tmp_path, authority, upstream, ["www.example.test"],
        pebble={"external_accounts": {"kid-1": key.read_text().strip()}}, eab={"key_id": "kid-1", "mac_key_file": str(key)})
    with pebble, gateway:
        wait_served(gateway, "www.example.test", pebble.root())
        assert key.read_text().strip() not in gateway.log


def names_of(der):
    text = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-ext", "subjectAltName"], input=der, capture_output=True,
                          check=True).stdout.decode()
    return sorted(entry.strip().removeprefix("DNS:") for entry in text.split("\n")[1].split(","))


@pytest.mark.skipif(not os.path.exists("/usr/sbin/named"), reason="named is not installed")
def test_wildcards_are_shown_in_the_dns(tmp_path, authority, upstream):
    with NameServer("example.test") as dns:
        gateway, pebble = gateway_for(
            tmp_path, authority, upstream, ["*.example.test", "www.sub.example.test"], pebble={"dns": dns.address},
            challenge="dns-01", dns={"server": dns.address, "zone": "example.test", "key_name": dns.key_name,
                                     "secret_file": dns.secret_file, "propagation": "0ms"})
        with pebble, gateway:
            root = pebble.root()
            wildcard = wait_served(gateway, "shop.example.test", root)
            assert names_of(wildcard) == ["*.example.test"]
            wait_served(gateway, "www.sub.example.test", root)
            poll(lambda: not dns.records("_acme-challenge.example.test") and not dns.records("_acme-challenge.www.sub.example.test"),
                 "the records to be removed")
            assert dns.secret not in gateway.log


@pytest.mark.skipif(not os.path.exists("/usr/sbin/named"), reason="named is not installed")
def test_a_refused_update_of_the_dns_is_told(tmp_path, authority, upstream):
    with NameServer("example.test") as dns:
        wrong = tmp_path / "wrong"
        wrong.write_text("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n")
        gateway, pebble = gateway_for(
            tmp_path, authority, upstream, ["*.example.test"], pebble={"dns": dns.address}, challenge="dns-01",
            dns={"server": dns.address, "zone": "example.test", "key_name": dns.key_name, "secret_file": str(wrong), "propagation": "0ms"})
        with pebble, gateway:
            error = poll(lambda: host_status(gateway, "*.example.test")["certificate"]["last_error"], "the error", deadline=30)
            assert dns.address in error and ("BADSIG" in error or "signature" in error or "refuse" in error), error


@pytest.fixture
def newer_pebble():
    """One that knows profiles and renewal information (RFC 9773): Debian 12's does not."""
    path = os.environ.get("GATEHOUSE_PEBBLE", os.path.expanduser("~/.cache/gatehouse/pebble-2.10/usr/bin/pebble"))
    if not os.path.exists(path):
        pytest.skip("no newer Pebble")
    return path


PROFILES = {"default": {"description": "as ever", "validityPeriod": 7776000},
            "shortlived": {"description": "160 hours", "validityPeriod": 576000}}


def test_profiles(tmp_path, authority, upstream, newer_pebble):
    gateway, pebble = gateway_for(tmp_path, authority, upstream, ["www.example.test"],
                                  pebble={"binary": newer_pebble, "profiles": PROFILES}, profile="shortlived")
    with pebble, gateway:
        certificate = wait_served(gateway, "www.example.test", pebble.root())
        assert 159 * 3600 < lifetime(certificate) <= 161 * 3600
        gateway.write_config(acme={"default": {"profile": "default"}})
        gateway.signal(signal.SIGHUP)
        longer = wait_served(gateway, "www.example.test", pebble.root(), other_than=certificate)
        assert lifetime(longer) > 80 * 86400
        gateway.write_config(acme={"default": {"profile": "platinum"}})
        gateway.signal(signal.SIGHUP)
        error = poll(lambda: host_status(gateway, "www.example.test")["certificate"]["last_error"], "the error", deadline=30)
        assert "shortlived" in error and "default" in error
        assert served(gateway, "www.example.test", pebble.root()) == longer


def lifetime(der):
    text = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-dates"], input=der, capture_output=True, check=True).stdout.decode()
    begin, end = (ssl.cert_time_to_seconds(line.split("=")[1]) for line in text.strip().split("\n"))
    return end - begin


def test_renewal_within_the_ca_s_window(tmp_path, authority, upstream, newer_pebble):
    name = "www.example.test"
    gateway, pebble = gateway_for(tmp_path, authority, upstream, [name], pebble={"binary": newer_pebble, "profiles": PROFILES})
    with pebble, gateway:
        root = pebble.root()
        first = wait_served(gateway, name, root)
        poll(lambda: host_status(gateway, name)["certificate"]["renews_at"], "a time of renewal")
        gateway.stop()
        # The CA wants it replaced (RFC 9773 section 4.2), and it is time to ask again.
        pebble.set_renewal_window(first, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
        item = tmp_path / "state" / "certificates" / "items" / "certificate%2Fwww.example.test"
        text = item.read_text()
        assert re.search(r'"ask_at":\d+', text)
        item.write_text(re.sub(r'"ask_at":\d+', '"ask_at":1', text))
        gateway.start()
        wait_served(gateway, name, root, other_than=first)
        assert pebble.count("replac") > 0, pebble.log()[-3000:]
