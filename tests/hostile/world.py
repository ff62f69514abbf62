"""The platform that hostile tenant files are put into: two honest tenants, keys to steal, ports to reach, folders to leave.

Used by generator.py, which aims at it, by oracle.py, which says what of it no accepted file may touch, and by run.py.
"""
import os
import socket
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
sys.dont_write_bytecode = True

from harness.certificates import Authority  # noqa: E402
from harness.gateway import Gateway, tenant  # noqa: E402
from harness.ports import free_port  # noqa: E402

SECRET = "c0ffee-nobody-may-see-this"
HOSTS_A = ["alpha.honest.test", "www.alpha.honest.test"]
HOSTS_B = ["*.wild.honest.test", "b\u00fccher.honest.test"]


def own_address():
    """An address of this machine other than loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            address = probe.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith("127.") else address


class World:
    """A gateway's folder with its honest tenants. Not started; `gateway` is the harness's."""

    def __init__(self, upstream, *, redis=True, tenant_rules="true", config=None):
        self.upstream = upstream if isinstance(upstream, str) else upstream.address
        self.any_port, self.metrics_port, self.redis_port = free_port(), free_port(), free_port()
        settings = {
            "metrics": {"address": f"127.0.0.1:{self.metrics_port}"},
            "timeouts": {"upstream_connect": "200ms", "response": "2s"},
            **(config or {}),
        }
        if redis:
            settings["redis"] = {"url": f"redis://127.0.0.1:{self.redis_port}/0"}
        self.gateway = Gateway({}, settings, start=False, listeners=[{"address": f"0.0.0.0:{self.any_port}", "protocol": "http"}])
        self.folder, self.tenants = self.gateway.folder, self.gateway.tenants_folder
        self.shared = os.path.join(self.folder, "shared")
        os.makedirs(self.shared)
        policy = {"files": [self.shared], "tenant_rules": True if tenant_rules == "true" else tenant_rules}
        self.gateway.write_config(policy=policy)
        self.tenant_rules = tenant_rules
        authority = Authority(os.path.join(self.folder, "authority"))
        certificate, key = authority.issue("any.hostile.test")
        _, other_key = authority.issue("other.hostile.test")
        with open(certificate, "rb") as file:
            self.certificate = file.read()
        with open(key, "rb") as file:
            self.key = file.read()
        with open(other_key, "rb") as file:
            self.other_key = file.read()
        self.write("shared/good.pem", self.certificate + self.key)
        self.write("secret.pem", SECRET.encode() + b"\n" + self.certificate + self.key)
        self.write("secret.txt", SECRET.encode() + b"\n")
        self.write("tenants/a-honest.d/honest.pem", self.certificate + self.key)
        self.honest_key = os.path.join(self.tenants, "a-honest.d", "honest.pem")
        self.own_address = own_address()
        # Ports of the gateway's own, with the addresses that they listen on.
        gateway = self.gateway
        self.own = [("127.0.0.1", gateway.http_port), ("127.0.0.1", gateway.https_port), ("0.0.0.0", self.any_port),
                    ("127.0.0.1", gateway.admin_port), ("127.0.0.1", self.metrics_port)]
        if redis:
            self.own.append(("127.0.0.1", self.redis_port))
        self.names = ["honest-a", "honest-b"]
        self.hosts = {"honest-a": HOSTS_A, "honest-b": HOSTS_B}
        rule = "" if tenant_rules == "false" else 'SecRule ARGS:honest "@streq probe" "id:10001,phase:2,deny,status:403"'
        gateway.write_tenant("a-honest", tenant("honest-a", self.upstream, waf={"mode": "block", "rules_before": rule}, hosts=[
            {"name": HOSTS_A[0], "tls": "off"},
            {"name": HOSTS_A[1], "tls": {"certificate_file": "honest.pem", "key_file": "honest.pem"}}]))
        gateway.write_tenant("b-honest", tenant("honest-b", self.upstream, hosts=[{"name": name, "tls": "off"} for name in HOSTS_B],
                                                rate_limits={"honest-limit": {"rate": "1000000/s"}},
                                                routes=[{"match": {"path": "/"}, "service": "web", "rate_limits": ["honest-limit"]}]))

    def write(self, path, data):
        path = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        return path
