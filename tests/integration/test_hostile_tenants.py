"""Hostile tenant files: none widens anything, none disturbs another tenant, each is refused with its place or is harmless.

A thousand of them, others in each run; tests/hostile/run.py runs as many as wanted, also against a gateway that serves.
"""
import os
import secrets
import sys

import pytest

pytest.importorskip("yaml", reason="the oracle reads files by python3-yaml")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "hostile"))

from checking import Checking  # noqa: E402
from generator import WEIGHTS, generate  # noqa: E402
from live import Live  # noqa: E402
from world import World  # noqa: E402


@pytest.fixture(scope="module")
def seed():
    value = secrets.randbelow(1 << 32)
    print(f"tests/hostile/run.py --seed {value}")
    return value


def told(failures):
    return [f"{case.number} {case.family} [{case.intent}] {case.note[:100]}: {words[:300]}" for case, words in failures[:20]]


@pytest.mark.parametrize("rules, count", [("true", 800), ("false", 100), ("trusted", 100)])
def test_each_is_refused_with_its_place_or_harmless(upstream, seed, is_sanitized, rules, count):
    world = World(upstream, tenant_rules=rules)
    try:
        checking = Checking(world)
        checking.run(generate(world, seed, count // 4 if is_sanitized else count))
        assert told(checking.failures) == []
    finally:
        world.gateway.discard()


def test_every_family_takes_part(upstream, seed):
    world = World(upstream)
    try:
        assert {case.family for case in generate(world, seed, 3000)} == set(WEIGHTS)
    finally:
        world.gateway.discard()


def test_honest_tenants_are_served_meanwhile(upstream, seed, is_sanitized):
    live = Live(upstream, seed, 40 if is_sanitized else 200)
    live.run()
    assert live.faults == []
