"""What a core file shows: no key, no password, nothing of a request."""
import os
import resource
import signal

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, sanitizer, tenant


def test_memory_is_left_out_of_core_files(upstream):
    with Gateway({"shop": tenant(upstream=upstream)}) as gateway, open(f"/proc/{gateway.pid}/coredump_filter", encoding="ascii") as file:
        assert int(file.read(), 16) == 0x10


def test_a_core_file_has_no_key_and_nothing_of_a_request(authority, upstream):
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        if file.read().strip() != "core":
            pytest.skip("this machine gives core files to a program")
    if sanitizer():
        pytest.skip("sanitizers end the process themselves")
    certificate, key = authority.issue("shop.test")
    hosts = [{"name": "shop.test", "tls": {"certificate_file": certificate, "key_file": key}}]
    gateway = Gateway({"shop": tenant(upstream=upstream, hosts=hosts)}, files=[authority.folder], start=False)
    gateway.start(preexec=lambda: resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
    try:
        with gateway.connect(tls=True, server_name="shop.test") as connection:
            connection.exchange(request_bytes(host="shop.test", headers=[("Authorization", "Bearer mark-of-a-token")]))
            gateway.signal(signal.SIGABRT)
            assert gateway.wait_exit() == -signal.SIGABRT
        cores = [name for name in os.listdir(gateway.folder) if name.startswith("core")]
        assert len(cores) == 1, "a core file was made"
        with open(os.path.join(gateway.folder, cores[0]), "rb") as file:
            core = file.read()
        assert core.startswith(b"\x7fELF") and b"mark-of-a-token" not in core
        with open(key, encoding="ascii") as file:
            assert file.read().splitlines()[1].encode() not in core
    finally:
        gateway.kill()
        gateway.discard()
