"""Certificates obtained from a real CA: Pebble, with a fifth of all nonces refused."""
import base64
import fcntl
import http.server
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import urllib.request

import pytest

from harness.acme import acme_tenant, certs, host_status, served, wait_served
from harness.gateway import Gateway
from harness.name_server import NameServer
from harness.pebble import Pebble
from harness.polling import poll

pytestmark = pytest.mark.skipif(not shutil.which("pebble"), reason="Pebble is not installed")


def gateway_for(tmp_path, authority, upstream, hosts, *, pebble=None, config=None, start=True, **acme):
    """A gateway and the CA that validates it: each must know the other's ports."""
    gateway = Gateway({"shop": acme_tenant("shop", upstream, hosts)}, folder=str(tmp_path), start=False)
    ca = Pebble(authority, http_port=gateway.http_port, tls_port=gateway.https_port, **(pebble or {}))
    gateway.write_config(acme={"default": {"directory": ca.directory, "email": "ops@example.com", "ca_file": ca.ca_file, **acme}},
                         **(config or {}))
    if start:
        gateway.start()
    return gateway, ca


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


def test_a_stored_challenge_that_cannot_be_answered_stops_no_other(tmp_path, upstream):
    folder = tmp_path / "state" / "certificates"
    (folder / "items").mkdir(parents=True, mode=0o700)
    impossible = [{"type": "tls-alpn-01", "ip": ip, "name": name, "token": "t", "answer": "t.x"}
                  for ip, name in [(True, "not an address"), (False, "x" * 100 + ".test")]]
    challenge = {"type": "http-01", "ip": False, "name": "www.example.test", "token": "a-token", "answer": "a-token.thumbprint"}
    (folder / "items" / "challenges").write_text("gatehouse-item 1 7\n" + json.dumps({"format": 1, "challenges": impossible + [challenge]}))
    (folder / ".state").write_text("epoch 7 1\n")
    with open(folder / ".lease", "w", encoding="ascii") as lease:
        fcntl.flock(lease, fcntl.LOCK_EX)   # another leads
        gateway = Gateway({"shop": acme_tenant("shop", upstream, ["www.example.test"])}, folder=str(tmp_path), start=False)
        gateway.write_config(acme={"default": {"directory": "https://127.0.0.1:9/directory"}})
        with gateway:
            answer = gateway.request("/.well-known/acme-challenge/a-token", host="www.example.test")
            assert (answer.status, answer.body) == (200, b"a-token.thumbprint")
            assert "not an address" in gateway.log and gateway.status_page()["certificates"].get("trouble", "") == ""


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

        assert certs(gateway, "renew", "WWW.Example.Test.").returncode == 0, "hosts are compared as in a tenant's file"
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


@pytest.mark.parametrize("mishap", [None, "x", 'gatehouse-item 1 1\n{"format":1}'], ids=["removed", "damaged", "older"])
def test_a_stored_certificate_that_is_spoiled_is_stored_again(tmp_path, authority, upstream, mishap):
    """While the gateway runs it knows better, and what it stores afterwards is stored."""
    name = "www.example.test"
    item = tmp_path / "state" / "certificates" / "items" / "certificate%2Fwww.example.test"

    def chain():
        head, _, value = item.read_text().partition("\n") if item.exists() else ("", "", "")
        return head.startswith("gatehouse-item") and json.loads(value).get("chain")

    gateway, pebble = gateway_for(tmp_path, authority, upstream, [name])
    with pebble, gateway:
        root = pebble.root()
        first = wait_served(gateway, name, root)
        before = chain()
        if mishap is None:
            item.unlink()
        else:
            item.write_text(mishap)
        poll(lambda: chain() == before, "the certificate to be stored again", deadline=20)
        assert certs(gateway, "renew", name).returncode == 0
        wait_served(gateway, name, root, other_than=first)
        assert chain() != before
        assert pebble.count('Added order "') == 2


@pytest.mark.parametrize("mishap", ["removed", "damaged", "older"])
def test_a_storage_that_has_lost_its_count_goes_on(tmp_path, authority, upstream, mishap):
    name = "www.example.test"
    state = tmp_path / "state" / "certificates" / ".state"
    gateway, pebble = gateway_for(tmp_path, authority, upstream, [name])
    with pebble, gateway:
        root = pebble.root()
        first = wait_served(gateway, name, root)
        older = state.read_text()
        gateway.stop()
        gateway.start()
        wait_served(gateway, name, root)
        if mishap == "removed":
            state.unlink()
        else:
            state.write_text("garbage" if mishap == "damaged" else older)
        assert certs(gateway, "renew", name).returncode == 0
        wait_served(gateway, name, root, other_than=first)


def test_a_ticket_key_of_the_far_future_is_replaced(tmp_path, upstream):
    """Somebody's clock was wrong; the key would be the youngest for seventy years."""
    folder = tmp_path / "state" / "certificates" / "items"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "tickets").write_text(f"gatehouse-item 1 5\ngatehouse-tickets 1\n{4_000_000_000} {'ab' * 16} {'cd' * 32} {'ef' * 32}\n")
    gateway = Gateway({"shop": acme_tenant("shop", upstream, ["www.example.test"])}, folder=str(tmp_path), start=False)
    gateway.write_config(acme={"default": {"directory": "https://127.0.0.1:9/directory"}})
    with gateway:
        poll(lambda: "ab" * 16 not in (folder / "tickets").read_text(), "another key")


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
        assert re.search(r'"ask_at":\d+', text) and re.search(r'"issued_at":\d+', text)
        item.write_text(re.sub(r'"(ask_at|issued_at)":\d+', r'"\1":1', text))
        gateway.start()
        wait_served(gateway, name, root, other_than=first)
        assert pebble.count("replac") > 0, pebble.log()[-3000:]


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_addresses_have_certificates(tmp_path, authority, upstream, newer_pebble, challenge):
    """RFC 8738. Clients name no host in TLS when they were given an address: the certificate is that of where they connect."""
    gateway, pebble = gateway_for(tmp_path, authority, upstream, ["127.0.0.1", "[2001:db8::7]", "www.example.test"],
                                  pebble={"binary": newer_pebble, "profiles": PROFILES}, challenge=challenge)
    with pebble, gateway:
        root = pebble.root()
        certificate = wait_served(gateway, "127.0.0.1", root)
        assert names_of(certificate) == ["IP Address:127.0.0.1"]
        assert gateway.request("/", host="127.0.0.1", tls=True).status == 200
        wait_served(gateway, "www.example.test", root)
        # Nobody reaches the other one; it is told under its own name.
        state = host_status(gateway, "[2001:db8::7]")["certificate"]
        assert state["self_signed"]
        renewed = certs(gateway, "renew", "[2001:db8::7]")
        assert renewed.returncode == 0, renewed.stderr


def test_two_kinds_of_certificates(tmp_path, authority, upstream):
    """RSA beside ECDSA, for clients that know nothing else."""
    name = "www.example.test"
    gateway, pebble = gateway_for(tmp_path, authority, upstream, [name], challenge="tls-alpn-01", second_key_type="rsa_2048")
    with pebble, gateway:
        root = pebble.root()

        def shown(*options):
            answer = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.https_port}", "-servername", name,
                                     *options], input=b"", capture_output=True)
            key = re.search(rb"Peer signature type: (\S+)", answer.stdout)
            return key and key[1].decode()

        wait_served(gateway, name, root)
        gateway.wait_metric(2, "gatehouse_acme_orders_total", result="success")
        poll(lambda: shown("-sigalgs", "RSA-PSS+SHA256:RSA+SHA256") == "RSA-PSS", "the second certificate")
        assert shown("-tls1_2", "-cipher", "ECDHE+aRSA") == "RSA-PSS"
        assert shown() == shown("-tls1_2") == "ECDSA", "who knows both is served the cheaper one"
        listed = certs(gateway, "list").stdout
        assert f"{name} (RSA)" in listed, listed
        gateway.stop()
        gateway.start()
        assert shown("-sigalgs", "RSA-PSS+SHA256:RSA+SHA256") == "RSA-PSS" and shown() == "ECDSA"
        assert pebble.count('Added order "') == 2


def test_a_rehearsal_comes_first(tmp_path, authority, upstream):
    """What the CA for tests does not issue is never asked of the other one; what it issues is served to nobody."""
    gateway, pebble = gateway_for(tmp_path, authority, upstream, ["www.example.test"], start=False)
    wrong_port = Pebble(authority, http_port=1, tls_port=1)
    with pebble, wrong_port:
        gateway.write_config(acme={"default": {"rehearsal": "tests"}, "tests": {"directory": wrong_port.directory, "ca_file": wrong_port.ca_file}})
        with gateway:
            poll(lambda: (host_status(gateway, "www.example.test")["certificate"] or {}).get("last_error"), "the rehearsal to fail", deadline=40)
            assert pebble.count("There are now 1 orders") == 0
            with Pebble(authority, http_port=gateway.http_port, tls_port=gateway.https_port) as right:
                gateway.write_config(acme={"tests": {"directory": right.directory, "ca_file": right.ca_file}})
                gateway.signal(signal.SIGHUP)
                poll(lambda: certs(gateway, "renew", "www.example.test").returncode == 0, "the command")
                certificate = wait_served(gateway, "www.example.test", pebble.root())
                assert right.count("There are now 1 orders") == 1
                # Renewals are not rehearsed.
                assert certs(gateway, "renew", "www.example.test").returncode == 0
                wait_served(gateway, "www.example.test", pebble.root(), other_than=certificate)
                assert right.count("There are now 2 orders") == 0


def test_records_are_written_by_a_service(tmp_path, authority, upstream):
    """dns-01 by a webhook: requests as lego's httpreq makes them."""
    password = tmp_path / "password"
    password.write_text("a secret of the service's\n")
    seen = []
    gateway, pebble = gateway_for(tmp_path, authority, upstream, ["*.example.test"], start=False)

    class Service(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # pylint: disable=invalid-name
            record = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, self.headers["Authorization"], record))
            verb = {"/dns/present": "set-txt", "/dns/cleanup": "clear-txt"}[self.path]
            body = json.dumps({"host": record["fqdn"], "value": record["value"]}).encode()
            urllib.request.urlopen(f"{pebble.control}/{verb}", data=body, timeout=5).close()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with pebble, http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        gateway.write_config(acme={"default": {"challenge": "dns-01", "dns": {"propagation": "0ms", "webhook": {
            "url": f"http://127.0.0.1:{service.server_address[1]}/dns/", "user": "gatehouse", "password_file": str(password)}}}})
        with gateway:
            wait_served(gateway, "shop.example.test", pebble.root())
            poll(lambda: [path for path, _, _ in seen] == ["/dns/present", "/dns/cleanup"], "the record to be removed")
            assert {record["fqdn"] for _, _, record in seen} == {"_acme-challenge.example.test."}
            credentials = base64.b64encode(b"gatehouse:a secret of the service's").decode()
            assert {field for _, field, _ in seen} == {"Basic " + credentials}
            assert "a secret" not in gateway.log and credentials not in gateway.log
        service.shutdown()


def test_a_service_that_refuses_is_told(tmp_path, authority, upstream):
    gateway, pebble = gateway_for(tmp_path, authority, upstream, ["*.example.test"], start=False)
    with pebble, http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as service:   # knows no POST: 501
        threading.Thread(target=service.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{service.server_address[1]}"
        gateway.write_config(acme={"default": {"challenge": "dns-01", "dns": {"webhook": {"url": url}}}})
        with gateway:
            error = poll(lambda: host_status(gateway, "*.example.test")["certificate"]["last_error"], "the error", deadline=30)
            assert f"{url}/present answers 501" in error, error
        service.shutdown()
