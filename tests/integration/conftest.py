"""Fixtures of the integration tests. GATEHOUSE=/path/to/gatehouse /usr/bin/python3 -m pytest tests/integration"""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
sys.dont_write_bytecode = True

from harness.certificates import Authority  # noqa: E402
from harness.gateway import sanitizer  # noqa: E402
from harness.redis_server import RedisServer  # noqa: E402
from harness.upstream import Upstream  # noqa: E402


def pytest_configure():
    if not os.environ.get("GATEHOUSE"):
        pytest.exit("GATEHOUSE must name the gateway's binary", returncode=4)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def upstream():
    """An upstream that answers with what it has got."""
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def redis():
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def is_sanitized():
    """Memory figures mean nothing then, and everything is slow."""
    return sanitizer() is not None
