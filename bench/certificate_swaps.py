#!/usr/bin/env python3
"""A host's certificate replaced a thousand times while new clients shake hands with it.

Usage: bench/certificate_swaps.py [--binary build/gatehouse] [--swaps 1000] [--rate 500]; run by hand.
Each client verifies what it is shown and asks for something. Certificates are imported in turn, each when the one before
is shown. Exit 1 when a handshake or a request failed, less than nine tenths of the rate was reached, or a certificate is
not shown within five seconds.
"""
import argparse
import collections
import os
import socket
import ssl
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness.certificates import Authority, openssl  # noqa: E402
from harness.client import Connection, request_bytes  # noqa: E402
from harness.gateway import Gateway, tenant  # noqa: E402
from harness.polling import poll  # noqa: E402
from nginx_upstream import nginx_upstream  # noqa: E402

NAME, THREADS, CERTIFICATES = "swapped.test", 4, 20


def shake_hands(gateway, context):
    """The serial number of the certificate that one new connection was shown."""
    with socket.create_connection(gateway.https, timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname=NAME) as tls:
            tls.sendall(request_bytes(host=NAME, close=True))
            answer = tls.recv(4096)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise OSError(f"answered {answer[:40]}")
            return tls.getpeercert()["serialNumber"]


def is_shown(gateway, context):
    try:
        return shake_hands(gateway, context)
    except ssl.SSLError:
        return None


class Client(threading.Thread):
    """New connections at a steady pace."""

    def __init__(self, gateway, context, rate):
        super().__init__()
        self.gateway, self.context, self.rate, self.stop = gateway, context, rate, threading.Event()
        self.shown, self.failures = collections.Counter(), []

    def run(self):
        due = time.monotonic()
        while not self.stop.is_set():
            try:
                self.shown[shake_hands(self.gateway, self.context)] += 1
            except OSError as error:
                self.failures.append(repr(error))
            due += 1 / self.rate
            time.sleep(max(0.0, due - time.monotonic()))


def import_certificate(gateway, certificate, key):
    body = b""
    for path in (certificate, key):
        with open(path, "rb") as file:
            body += file.read() + b"\n"
    with Connection(("127.0.0.1", gateway.admin_port)) as connection:
        connection.send(request_bytes("POST", f"/certificates/import?host={NAME}", f"127.0.0.1:{gateway.admin_port}",
                                      [("gatehouse-command", "1")], body, close=True))
        answer = connection.response("POST")
        assert answer.status == 200, answer.text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "gatehouse"))
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=500, help="new handshakes a second")
    options = parser.parse_args()
    os.environ["GATEHOUSE"] = options.binary
    authority = Authority(tempfile.mkdtemp(prefix="gatehouse-bench-"))
    pairs = [authority.issue(f"{number}.test", [NAME]) for number in range(CERTIFICATES)]
    serials = [openssl("x509", "-in", pair[0], "-noout", "-serial").stdout.decode().strip().partition("=")[2] for pair in pairs]
    context = ssl.create_default_context(cafile=authority.certificate)
    with nginx_upstream() as upstream:
        hosts = [{"name": NAME, "tls": {"acme": "default"}}]
        nobody = {"default": {"directory": "https://127.0.0.1:9/directory", "ca_file": authority.certificate}}
        # Until the first is imported, a self-signed one is shown.
        with Gateway({"shop": tenant(upstream=upstream, hosts=hosts)}, {"acme": nobody, "limits": {"connections_per_client": 0}},
                     files=[authority.folder]) as gateway:
            poll(lambda: gateway.status_page()["certificates"]["leads"], "the lease")
            import_certificate(gateway, *pairs[-1])
            poll(lambda: is_shown(gateway, context), "the first certificate to be shown")
            clients = [Client(gateway, context, options.rate / THREADS) for _ in range(THREADS)]
            begin = time.monotonic()
            for client in clients:
                client.start()
            for number in range(options.swaps):
                import_certificate(gateway, *pairs[number % CERTIFICATES])
                poll(lambda wanted=serials[number % CERTIFICATES]: shake_hands(gateway, context) == wanted, "the certificate to be shown", 5)
            for client in clients:
                client.stop.set()
            for client in clients:
                client.join()
            seconds = time.monotonic() - begin
    shown = sum((client.shown for client in clients), collections.Counter())
    failures = [failure for client in clients for failure in client.failures]
    rate = shown.total() / seconds
    print(f"{options.swaps} swaps in {seconds:.0f} s; {shown.total()} handshakes, {rate:.0f} a second, {len(failures)} failed {failures[:3]}; "
          f"{len(shown)} certificates were shown")
    return 0 if not failures and rate >= 0.9 * options.rate else 1


if __name__ == "__main__":
    sys.exit(main())
