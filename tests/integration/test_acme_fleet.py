"""Several gateways on one Redis are one client of the CA."""
import random
import shutil
import socket
import ssl
import time

import pytest

from harness.acme import Fleet, accounts, orders
from harness.polling import poll
from harness.redis_server import RedisServer

pytestmark = pytest.mark.skipif(not shutil.which("pebble"), reason="Pebble is not installed")


def test_ten_gateways_place_one_order(tmp_path, authority, upstream):
    name = "www.example.test"
    with RedisServer() as redis, Fleet(tmp_path, authority, upstream, redis, 10, [name]) as fleet:
        fleet.start()
        root = fleet.pebble.root()
        poll(lambda: fleet.serve(name, root), "the certificate on all gateways", deadline=60)
        assert orders(fleet.pebble) == 1
        assert accounts(fleet.pebble) == (1, 0)
        assert fleet.gateways[0].status_page()["certificates"]["gateways"] == 10
        assert len(fleet.turns.used) >= 3, "Pebble asks three times, each time another gateway"
        everything = redis.command("HGETALL", "gatehouse:{certificates}:items")
        assert b"PRIVATE KEY" not in everything and b"CERTIFICATE" not in everything


def test_a_dead_leader_is_replaced(tmp_path, authority, upstream):
    random.seed(7)
    for attempt in range(2):
        name = f"a{attempt}.example.test"
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with RedisServer() as redis, Fleet(folder, authority, upstream, redis, 3, [name], pebble={"sleep": 1}) as fleet:
            fleet.start()
            root = fleet.pebble.root()
            leader = poll(fleet.leader, "a leader", deadline=30)
            time.sleep(random.random() * 3)
            leader.kill()
            fleet.gateways.remove(leader)
            fleet.turns.targets.remove(leader.http)
            poll(lambda: fleet.serve(name, root), "the certificate on those that live", deadline=30)
            assert orders(fleet.pebble) <= 2
            assert accounts(fleet.pebble) == (1, 0)


def test_an_emptied_storage_is_filled_from_memory(tmp_path, authority, upstream):
    name = "www.example.test"
    with RedisServer() as redis, Fleet(tmp_path, authority, upstream, redis, 2, [name]) as fleet:
        fleet.start()
        root = fleet.pebble.root()
        first = poll(lambda: fleet.serve(name, root), "the certificate", deadline=60)
        redis.command("FLUSHALL")
        poll(lambda: b"certificate/" + name.encode() in redis.command("HKEYS", "gatehouse:{certificates}:items"), "the storage to be filled")
        assert any("emptied" in gateway.log for gateway in fleet.gateways)
        for gateway in fleet.gateways:
            gateway.stop()
            gateway.start()
        assert fleet.serve(name, root) == first
        assert orders(fleet.pebble) == 1


def test_a_session_is_resumed_at_another_gateway(tmp_path, authority, upstream):
    name = "www.example.test"
    with RedisServer() as redis, Fleet(tmp_path, authority, upstream, redis, 2, [name]) as fleet:
        fleet.start()
        root = fleet.pebble.root()
        poll(lambda: fleet.serve(name, root), "the certificate", deadline=60)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cadata=root)
            context.minimum_version = context.maximum_version = version

            def exchange(gateway, session=None):
                with socket.create_connection(gateway.https, timeout=10) as plain:
                    with context.wrap_socket(plain, server_hostname=name, session=session) as tls:
                        tls.sendall(f"GET / HTTP/1.1\r\nhost: {name}\r\n\r\n".encode())
                        assert tls.recv(65536).startswith(b"HTTP/1.1 200")
                        return tls.session_reused, tls.session

            first, second = fleet.gateways
            reused, session = exchange(first)
            assert not reused
            assert exchange(second, session)[0], version
