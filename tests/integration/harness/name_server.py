"""BIND's named with one zone that takes updates signed with TSIG (RFC 2136, RFC 8945)."""
import base64
import os
import subprocess
import tempfile

from .polling import poll
from .ports import free_port


class NameServer:
    def __init__(self, zone):
        self.folder = tempfile.mkdtemp(prefix="gatehouse-named-")
        self.port, self.zone = free_port(), zone
        self.key_name, self.secret = "gatehouse-key", base64.b64encode(os.urandom(32)).decode()
        self.secret_file = os.path.join(self.folder, "secret")
        with open(self.secret_file, "w", encoding="ascii") as file:
            file.write(self.secret + "\n")
        with open(os.path.join(self.folder, "zone"), "w", encoding="ascii") as file:
            file.write(f"$TTL 60\n@ IN SOA ns.{zone}. ops.{zone}. 1 60 60 60 60\n@ IN NS ns.{zone}.\nns IN A 127.0.0.1\n")
        with open(os.path.join(self.folder, "named.conf"), "w", encoding="ascii") as file:
            file.write(f"""
options {{ directory "{self.folder}"; listen-on port {self.port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no;
           pid-file none; session-keyfile none; dnssec-validation no; }};
controls {{ }};
key "{self.key_name}" {{ algorithm hmac-sha256; secret "{self.secret}"; }};
zone "{zone}" {{ type primary; file "zone"; allow-update {{ key "{self.key_name}"; }}; }};
""")
        self.log_path = os.path.join(self.folder, "log")
        self.process = subprocess.Popen(["/usr/sbin/named", "-g", "-c", os.path.join(self.folder, "named.conf")],
                                        stdout=subprocess.DEVNULL, stderr=open(self.log_path, "ab"))
        poll(lambda: self.records(f"ns.{zone}", "A") == ["127.0.0.1"], "named to start")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def records(self, name, kind="TXT"):
        answer = subprocess.run(["dig", "+short", "+time=1", "+tries=1", "-p", str(self.port), "@127.0.0.1", name, kind],
                                capture_output=True, text=True)
        return [line.strip('"') for line in answer.stdout.split("\n") if line and not line.startswith(";")]

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
