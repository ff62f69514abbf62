"""Free TCP ports for servers that must be told their port before they start (the gateway, Redis).

They come from below the kernel's ephemeral range, so that no outgoing connection takes one in between, and each is
locked by a file for the life of this process, so that test files that run side by side never get the same one.
"""
import fcntl
import os
import random
import socket
import tempfile

_locks = []
_FOLDER = os.path.join(tempfile.gettempdir(), f"gatehouse-test-ports.{os.getuid()}")


def _lowest_ephemeral():
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        return int(file.read().split()[0])


def free_port():
    os.makedirs(_FOLDER, exist_ok=True)
    upper = min(_lowest_ephemeral(), 65536)
    generator = random.SystemRandom()
    for _ in range(1000):
        port = generator.randrange(12000, upper)
        lock = os.open(os.path.join(_FOLDER, str(port)), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket(socket.AF_INET6) as probe:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                probe.bind(("::", port))
        except OSError:
            os.close(lock)
            continue
        _locks.append(lock)
        return port
    raise RuntimeError("no free port")
