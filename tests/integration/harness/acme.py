"""Gateways that obtain their certificates, alone and as a fleet, and what clients and operators see of them."""
import base64
import os
import socket
import ssl
import subprocess

from .gateway import Gateway, binary, tenant
from .pebble import Pebble
from .polling import poll
from .ports import free_port
from .turns import Turns


def served(gateway, name, root=None):
    """The certificate in DER that a handshake for the name shows; None if it is not from the root."""
    context = ssl.create_default_context(cadata=root) if root else ssl._create_unverified_context()
    try:
        with socket.create_connection(("127.0.0.1", gateway.https_port), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname=name.strip("[]")) as tls:
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


def certs(gateway, *arguments):
    return subprocess.run([binary(), "certs", "--admin", f"127.0.0.1:{gateway.admin_port}", *arguments], capture_output=True,
                          text=True, timeout=30)


def host_status(gateway, name):
    hosts = [host for each in gateway.status_page()["tenants"] for host in each["hosts"]]
    return next(host for host in hosts if host["name"] == name)


class Fleet:
    def __init__(self, tmp_path, authority, upstream, redis, count, hosts, *, pebble=None, tenants=None, **acme):
        key = tmp_path / "storage.key"
        if not key.exists():
            key.write_text(base64.b64encode(os.urandom(32)).decode() + "\n")
        tenants = tenants or {"shop": acme_tenant("shop", upstream, hosts)}
        self.gateways = []
        for number in range(count):
            folder = tmp_path / f"gateway-{number}"
            folder.mkdir(exist_ok=True)
            self.gateways.append(Gateway(tenants, folder=str(folder), start=False, config={
                "workers": 1, "redis": {"url": f"redis://127.0.0.1:{redis.port}/0"},
                "storage": {"file": None, "redis": {"encryption_key_file": str(key)}}}))
        self.port = free_port()
        self.turns = Turns([gateway.http for gateway in self.gateways], self.port)
        self.pebble = Pebble(authority, http_port=self.port, tls_port=self.gateways[0].https_port, **(pebble or {}))
        for gateway in self.gateways:
            gateway.write_config(acme={"default": {"directory": self.pebble.directory, "ca_file": self.pebble.ca_file, **acme}})

    def start(self):
        for gateway in self.gateways:
            gateway.start(ready=False)
        for gateway in self.gateways:
            gateway.wait_ready()
        return self

    def leader(self):
        for gateway in self.gateways:
            if gateway.running() and gateway.status_page()["certificates"]["leads"]:
                return gateway
        return None

    def serve(self, name, root):
        shown = {served(gateway, name, root) for gateway in self.gateways if gateway.running()}
        return len(shown) == 1 and None not in shown and shown.pop()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for gateway in self.gateways:
            if kind is None:
                if gateway.running():
                    gateway.stop()
            else:
                gateway.kill()
                print(gateway.log)
        if kind is not None:
            print(self.pebble.log()[-5000:])
        self.pebble.__exit__()
        self.turns.close()


def orders(pebble):
    return pebble.count('Added order "')


def accounts(pebble):
    return pebble.count("There are now 1 accounts in memory"), pebble.count("There are now 2 accounts in memory")
