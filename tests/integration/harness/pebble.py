"""Pebble, the CA of Let's Encrypt for tests (RFC 8555), with the DNS server that it validates by."""
import json
import os
import ssl
import subprocess
import tempfile
import urllib.request

from .polling import poll
from .ports import free_port


class Pebble:
    """`http_port`, `tls_port`: where it asks hosts for answers to challenges, on 127.0.0.1 whatever the name.

    `binary`: another version than Debian's. `dns`: "address:port" of a name server of the test's own.
    """

    def __init__(self, authority, *, http_port, tls_port, binary="pebble", nonce_reject=20, sleep=None, external_accounts=None,
                 profiles=None, dns=None, authorization_reuse=0, validity_days=None):
        self.folder = tempfile.mkdtemp(prefix="gatehouse-pebble-")
        self.port, self.management_port = free_port(), free_port()
        certificate, key = authority.issue("pebble", ["localhost", "127.0.0.1"])
        self.ca_file = str(authority.certificate)
        pebble = {"listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{self.management_port}",
                  "certificate": str(certificate), "privateKey": str(key), "httpPort": http_port, "tlsPort": tls_port,
                  "ocspResponderURL": "", "externalAccountBindingRequired": bool(external_accounts),
                  "externalAccountMACKeys": external_accounts or {}, "retryAfter": {"authz": 1, "order": 1}}
        if profiles:
            pebble["profiles"] = profiles
            pebble["keyAlgorithm"] = "ecdsa"
        if validity_days:
            pebble["certificateValidityPeriod"] = validity_days * 86400
        self.configuration = os.path.join(self.folder, "pebble.json")
        with open(self.configuration, "w", encoding="utf-8") as file:
            json.dump({"pebble": pebble}, file)
        self.processes = []
        self.log_path = os.path.join(self.folder, "log")
        self.binary, self.dns = binary, dns
        self.environment = {**os.environ, "PEBBLE_WFE_NONCEREJECT": str(nonce_reject), "PEBBLE_AUTHZREUSE": str(authorization_reuse)}
        self.environment.update({"PEBBLE_VA_NOSLEEP": "1"} if sleep is None else {"PEBBLE_VA_SLEEPTIME": str(sleep)})
        self.start()

    @property
    def directory(self):
        return f"https://localhost:{self.port}/dir"

    def start(self):
        log = open(self.log_path, "ab")
        if not self.dns:
            self.dns_port, control = free_port(), free_port()
            self.control = f"http://127.0.0.1:{control}"
            self.processes.append(subprocess.Popen(
                ["pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01", f"127.0.0.1:{self.dns_port}",
                 "-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{control}"], stdout=log, stderr=log))
        self.run(log)

    def run(self, log=None):
        log = log or open(self.log_path, "ab")
        self.processes.append(subprocess.Popen(
            [self.binary, "-config", self.configuration, "-strict", "-dnsserver", self.dns or f"127.0.0.1:{self.dns_port}"],
            stdout=log, stderr=log, env=self.environment))
        poll(self._answers, "Pebble to start")

    def stop_ca(self):
        """The CA alone goes away; run() brings another one, which knows nothing of the first one's accounts."""
        process = self.processes.pop()
        process.kill()
        process.wait()

    def _context(self):
        return ssl.create_default_context(cafile=self.ca_file)

    def _answers(self):
        if self.processes[-1].poll() is not None:
            raise RuntimeError("pebble ended: " + self.log())
        try:
            with urllib.request.urlopen(self.directory, context=self._context(), timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def management(self, path):
        with urllib.request.urlopen(f"https://localhost:{self.management_port}{path}", context=self._context(), timeout=5) as answer:
            return answer.read()

    def set_renewal_window(self, der, start, end):
        """What renewal information says of a certificate from now on."""
        body = json.dumps({"Certificate": ssl.DER_cert_to_PEM_cert(der),
                           "ARIResponse": json.dumps({"suggestedWindow": {"start": start, "end": end}})}).encode()
        request = urllib.request.Request(f"https://localhost:{self.management_port}/set-renewal-info/", data=body, method="POST")
        with urllib.request.urlopen(request, context=self._context(), timeout=5) as answer:
            assert answer.status == 200, answer.read()

    def root(self, number=0):
        return self.management(f"/roots/{number}").decode()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def count(self, text):
        return self.log().count(text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
