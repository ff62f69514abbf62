"""Proxies under test as processes on free ports of loopback: the gateway, and Debian's nginx, HAProxy, Caddy and nghttpx in
the configuration that their manuals begin with. Used by run.py and the tests."""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile

import judge  # noqa: F401  (finds the harness)
from harness.certificates import Authority
from harness.gateway import Gateway, tenant
from harness.polling import poll
from harness.ports import free_port


class Subject:
    """The gateway: every host in the clear, shop.test as a host of its own TLS as secure.test."""

    name = "Gatehouse"

    def __init__(self, backend, folder=None, **config):
        tenants = {
            "anybody": tenant("anybody", backend, hosts=[{"name": "*", "tls": "off"}]),
            "secure": tenant("secure", backend, hosts=[{"name": "secure.test", "tls": {"self_signed": True}}]),
        }
        self.gateway = Gateway(tenants, {"workers": 1, "access_log": {"path": "off"}, "limits": {"connections_per_client": 0}, **config}, start=False)

    @property
    def version(self):
        return ""

    def __enter__(self):
        self.gateway.__enter__()
        self.http, self.https = self.gateway.http, self.gateway.https
        return self

    def __exit__(self, *error):
        self.gateway.__exit__(*error)


class Peer:
    """A peer's process; subclasses write its configuration and say how it is started."""

    name = program = ""
    version_command = ("-v",)

    def __init__(self, backend):
        self.backend = backend
        self.http, self.https = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())

    @classmethod
    def path(cls):
        return shutil.which(cls.program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

    @property
    def version(self):
        done = subprocess.run([self.path(), *self.version_command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        return re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)[0]

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="gatehouse-peer-")
        self.certificate, self.key = Authority(os.path.join(self.folder, "ca")).issue("secure.test")
        self.log = open(os.path.join(self.folder, "log"), "wb")
        environment = {**os.environ, "HOME": self.folder, "XDG_DATA_HOME": self.folder, "XDG_CONFIG_HOME": self.folder}
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=environment, cwd=self.folder)
        try:
            poll(self._listens, f"{self.name} to listen")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _listens(self):
        if self.process.poll() is not None:
            with open(self.log.name, encoding="utf-8", errors="replace") as file:
                raise RuntimeError(f"{self.name} ended: {file.read()[-2000:]}")
        for address in (self.http, self.https):
            with contextlib.closing(socket.socket()) as probe:
                if probe.connect_ex(address) != 0:
                    return False
        return True

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self):
        raise NotImplementedError


class Nginx(Peer):
    name = program = "nginx"

    def command(self):
        temporary = " ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        configuration = self.write("nginx.conf", f"""daemon off; master_process off; worker_processes 1; pid {self.folder}/pid; error_log stderr crit;
events {{ worker_connections 512; }}
http {{
  access_log off; {temporary}
  upstream backend {{ server 127.0.0.1:{self.backend.port} max_fails=0; keepalive 16; }}
  server {{
    server_name shop.test; listen 127.0.0.1:{self.http[1]}; listen 127.0.0.1:{self.https[1]} ssl http2;
    ssl_certificate {self.certificate}; ssl_certificate_key {self.key};
    location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }}
  }}
}}
""")
        return [self.path(), "-c", configuration, "-e", "stderr"]


class Haproxy(Peer):
    name = program = "haproxy"

    def command(self):
        with open(self.certificate, encoding="ascii") as certificate, open(self.key, encoding="ascii") as key:
            both = self.write("both.pem", certificate.read() + key.read())
        return [self.path(), "-db", "-f", self.write("haproxy.cfg", f"""global
  nbthread 1
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  timeout http-request 10s
frontend all
  bind 127.0.0.1:{self.http[1]}
  bind 127.0.0.1:{self.https[1]} ssl crt {both} alpn h2,http/1.1
  default_backend upstream
backend upstream
  server one 127.0.0.1:{self.backend.port}
""")]


class Caddy(Peer):
    name = program = "caddy"
    version_command = ("version",)

    def command(self):
        return [self.path(), "run", "--adapter", "caddyfile", "--config", self.write("Caddyfile", f"""{{
  admin off
  auto_https off
}}
http://:{self.http[1]} {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{self.backend.port}
}}
https://:{self.https[1]} {{
  bind 127.0.0.1
  tls {self.certificate} {self.key}
  reverse_proxy 127.0.0.1:{self.backend.port}
}}
""")]


class Nghttpx(Peer):
    name = program = "nghttpx"

    def command(self):
        return [self.path(), "--conf=/dev/null", "--workers=1", f"--frontend=127.0.0.1,{self.http[1]};no-tls", f"--frontend=127.0.0.1,{self.https[1]}",
                f"--backend=127.0.0.1,{self.backend.port};;proto=http/1.1", "--accesslog-file=/dev/null", "--backend-read-timeout=10s", self.key, self.certificate]


PEERS = {peer.program: peer for peer in (Nginx, Haproxy, Caddy, Nghttpx)}
