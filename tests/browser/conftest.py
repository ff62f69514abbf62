"""The browser tests stand on the harness of tests/integration."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))
sys.dont_write_bytecode = True


def pytest_configure():
    if not os.environ.get("GATEHOUSE"):
        pytest.exit("GATEHOUSE must name the gateway's binary", returncode=4)
