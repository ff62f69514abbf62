"""Hostile tenant files: none widens anything, none disturbs another tenant, each is refused with its place or is harmless.

A thousand of them, others in each run; tests/hostile/run.py runs as many as wanted, also against a gateway that serves.
"""
import os
import secrets
import subprocess
import sys

import pytest

pytest.importorskip("yaml", reason="the oracle reads files by python3-yaml")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "hostile"))

from checking import Checking, check  # noqa: E402
from generator import WEIGHTS, generate  # noqa: E402
from harness.gateway import tenant  # noqa: E402
from live import Live  # noqa: E402
from world import World  # noqa: E402


@pytest.fixture(scope="module")
def seed(request):
    value = secrets.randbelow(1 << 32)
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"tests/hostile/run.py --seed {value}", flush=True)
    return value


def told(failures):
    return [f"{case.number} {case.family} [{case.intent}] {case.note[:100]}: {words[:300]}" for case, words in failures[:20]]


@pytest.mark.parametrize("rules, count", [("true", 800), ("false", 100), ("trusted", 100)])
def test_each_is_refused_with_its_place_or_harmless(upstream, seed, is_sanitized, rules, count):
    world = World(upstream, tenant_rules=rules)
    try:
        checking = Checking(world)
        checking.run(generate(world, seed, count // 4 if is_sanitized else count))
        assert told(checking.failures) == [], f"tests/hostile/run.py --seed {seed} --tenant-rules {rules}"
    finally:
        world.gateway.discard()


def test_every_family_takes_part(upstream, seed):
    world = World(upstream)
    try:
        assert {case.family for case in generate(world, seed, 3000)} == set(WEIGHTS)
    finally:
        world.gateway.discard()


def test_a_key_whose_handshakes_cost_too_much_is_refused(upstream):
    """Signing with RSA 15360 takes a worker, and everybody on it, a fifth of a second."""
    def errors(bits, chain):
        world = World(upstream)
        try:
            path = world.write("tenants/h.d/key.pem", b"")
            primes = ["-pkeyopt", "rsa_keygen_primes:4"] if bits > 4096 else []   # found sooner
            subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}", *primes, "-out", path], check=True, capture_output=True)
            subprocess.run(["openssl", "req", "-x509", "-key", path, "-out", path + ".crt", "-subj", "/CN=h.test"], check=True, capture_output=True)
            with open(path + ".crt", "rb") as file:
                world.write("tenants/h.d/key.crt", file.read() * chain)
            hosts = [{"name": "h.test", "tls": {"certificate_file": "key.crt", "key_file": "key.pem"}}]
            world.gateway.write_tenant("h", tenant("h", upstream, hosts=hosts))
            return [problem for problem in check(world).problems if problem["severity"] == "error"]
        finally:
            world.gateway.discard()
    assert errors(2048, 16) == []
    for bits, chain, words in ((4104, 1, "at most 4096 bits"), (2048, 17, "more than 16 certificates")):
        found = errors(bits, chain)
        assert len(found) == 1 and words in found[0]["message"] and found[0]["line"] >= 1, found


def test_honest_tenants_are_served_meanwhile(upstream, seed, is_sanitized):
    live = Live(upstream, seed, 40 if is_sanitized else 150)
    live.run()
    assert live.faults == [], f"tests/hostile/run.py --seed {seed} --live"
