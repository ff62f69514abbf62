"""A real redis-server of a test's own: plain, with TLS, with an ACL user."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from .ports import free_port
from .polling import poll


class RedisServer:
    def __init__(self, *, authority=None, user=None, password=None):
        """authority: also listens with TLS, with a certificate for localhost and 127.0.0.1 from it.
        user, password: the default user may do nothing; this one may use the keys of the gateway and no administration."""
        self.folder = tempfile.mkdtemp(prefix="gatehouse-redis-")
        self.port = free_port()
        self.tls_port = free_port() if authority else 0
        self.user, self.password = user, password
        lines = [f"port {self.port}", "bind 127.0.0.1", 'save ""', "appendonly no", f"dir {self.folder}", "daemonize no",
                 "loglevel warning", "enable-debug-command local"]
        if authority:
            certificate, key = authority.issue("redis", ["localhost", "127.0.0.1"])
            lines += [f"tls-port {self.tls_port}", f"tls-cert-file {certificate}", f"tls-key-file {key}",
                      f"tls-ca-cert-file {authority.certificate}", "tls-auth-clients no"]
        if user:
            lines += ["user default off", f"user {user} on >{password} ~gatehouse:* -@all +@connection +@scripting +time +@read +@write"]
        self.configuration = os.path.join(self.folder, "redis.conf")
        with open(self.configuration, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        self.process = None
        self.start()

    def start(self):
        """Starts, and starts again after kill(), at the same port and empty."""
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(["redis-server", self.configuration], stdout=log, stderr=log)
        poll(lambda: self.process.poll() is not None or self._answers(), "Redis to start")
        if self.process.poll() is not None:
            with open(os.path.join(self.folder, "log"), encoding="utf-8") as log:
                raise RuntimeError(f"redis-server ended: {log.read()}")

    def _answers(self):
        try:
            reply = self.command("PING", authenticate=False)
        except OSError:
            return False
        return reply.startswith((b"+PONG", b"-NOAUTH"))

    def command(self, *words, authenticate=True):
        """One command; the raw reply, as far as one packet of it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            if self.user and authenticate:
                self._send(sock, "AUTH", self.user, self.password)
                assert sock.recv(100) == b"+OK\r\n"
            self._send(sock, *words)
            return sock.recv(1 << 20)

    @staticmethod
    def _send(sock, *words):
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        sock.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))

    def keys(self):
        """The names of all keys; only without an ACL user."""
        reply = self.command("KEYS", "*").split(b"\r\n")
        return [line.decode("latin-1") for line in reply[2::2]]

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def remove_folder(self):
        """So that it cannot write a file any more; not to be started again."""
        shutil.rmtree(self.folder)

    def kill(self):
        """Dies as by a power cut."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
