#!/usr/bin/env python3
"""Records the benign corpus: real applications from npm, used by headless Chromium and by their own clients. See README.md.

Usage: record.py --out FOLDER --work FOLDER [--seconds 240] [--seed 1] [APP...]; needs node, npm, chromium, openssl.
"""
import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

from applications import APPLICATIONS  # noqa: E402
from tap import Tap  # noqa: E402


def install(work, packages):
    for package in packages:
        folder = os.path.join(work, "node_modules", package.rsplit("@", 1)[0])
        if not os.path.isdir(folder):
            subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", work, package], check=True)


def certificate(work):
    pem, key = os.path.join(work, "tap.pem"), os.path.join(work, "tap.key")
    if not os.path.exists(pem):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
                        "/CN=example.test", "-addext", "subjectAltName=DNS:*.example.test", "-keyout", key, "-out", pem], check=True,
                       stderr=subprocess.DEVNULL)
    return pem, key


async def listening(port, seconds=60):
    for _ in range(seconds * 10):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            await asyncio.sleep(0.1)
    raise TimeoutError(f"nothing listens on {port}")


def free_port():
    import socket
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


async def record(name, application, options):
    install(options.work, application["packages"])
    port, folder = free_port(), os.path.join(options.work, "run-" + name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    host = f"{name}.example.test"
    fill = {"port": port, "service": free_port(), "folder": folder, "modules": os.path.join(options.work, "node_modules"), "here": HERE, "origin": f"https://{host}", "host": host}
    environment = {**os.environ, "NODE_PATH": fill["modules"], "PORT": str(port),
                   **{key: value.format(**fill) for key, value in application.get("environment", {}).items()}}
    for command in application.get("prepare", []):
        subprocess.run([part.format(**fill) for part in command], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    processes = []
    try:
        with open(os.path.join(folder, "log"), "wb") as log:
            for part, listens_on in (("service", fill["service"]), ("command", port)):
                if part not in application:
                    continue
                command = [text.format(**fill) for text in application[part]]
                processes.append(await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True))
                await listening(listens_on)
        async with Tap(port, *certificate(options.work), os.path.join(options.out, name + ".jsonl")) as tap:
            fill["tap"] = tap.port
            for user in application["users"]:
                part = max(20, options.seconds // len(application["users"]))
                command = [text.format(**fill, seconds=part, seed=options.seed) for text in user]
                client = await asyncio.create_subprocess_exec(*command, cwd=folder, env={**environment, "NODE_TLS_REJECT_UNAUTHORIZED": "0"},
                                                              stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
                try:
                    output, _ = await asyncio.wait_for(client.communicate(), part + 60)
                    print(f"{name}: {tap.count} requests so far; {output.decode(errors='replace').strip()[-300:]}", flush=True)
                except asyncio.TimeoutError:
                    client.kill()
                    print(f"{name}: {tap.count} requests so far; the client was ended", flush=True)
    finally:
        for process in reversed(processes):
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGTERM)
            await process.wait()


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--seconds", type=int, default=240)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("applications", nargs="*", default=[])
    options = parser.parse_args()
    options.work, options.out = os.path.abspath(options.work), os.path.abspath(options.out)
    os.makedirs(options.work, exist_ok=True)
    os.makedirs(options.out, exist_ok=True)
    install(options.work, ["puppeteer-core@22.15.0"])
    for name in options.applications or APPLICATIONS:
        try:
            await record(name, APPLICATIONS[name], options)
        except Exception as error:  # noqa: BLE001 one application less
            print(f"{name}: {error!r}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
