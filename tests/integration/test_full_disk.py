"""Logs that cannot be written: requests go on, the loss is counted and said, and writing goes on when there is room."""
import json
import os
import subprocess

import pytest

from harness.gateway import Gateway, tenant
from harness.polling import poll

ATTACK = "/?id=1%27%20OR%20%271%27=%271"


@pytest.mark.parametrize("log", ["access", "audit"])
def test_a_device_that_is_always_full(upstream, log):
    with Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block"})},
                 {log + "_log": {"path": "/dev/full"}}) as gateway:
        for _ in range(20):
            assert gateway.request().status == 200
        assert gateway.request(ATTACK).status == 403
        poll(lambda: gateway.metric("gatehouse_log_write_errors", log=log) > 0, "the trouble to be counted")
        gateway.wait_log('"/dev/full"')
        assert gateway.log.count('"/dev/full"') == 1, "said once"
        assert gateway.request().status == 200


@pytest.fixture
def small_disk(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_room_comes_back(small_disk, upstream):
    path = small_disk / "access.log"
    filler = small_disk / "filler"
    with Gateway({"shop": tenant(upstream=upstream)}, {"access_log": {"path": str(path)}}) as gateway:
        assert gateway.request("/before").status == 200
        poll(lambda: path.stat().st_size > 0, "the first record")
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        def lost():
            gateway.request("/full")
            return gateway.metric("gatehouse_log_write_errors", log="access") > 0
        poll(lost, "the disk to be full for the log")
        assert gateway.metric("gatehouse_log_queued_bytes", log="access") > 0
        os.unlink(filler)

        def written():
            gateway.request("/after")
            return b"/after" in path.read_bytes()
        poll(written, "records to be written again", 20)
        gateway.wait_metric(0, "gatehouse_log_queued_bytes", log="access")
        paths = [json.loads(line)["url.path"] for line in path.read_text().splitlines()]
        assert paths[0] == "/before" and "/full" in paths, "whole lines, and none is lost that had room in memory"
        gateway.wait_log("written again")
