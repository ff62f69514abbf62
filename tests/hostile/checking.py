"""Hostile files by the batch through `gatehouse check`, each judged by the oracle."""
import collections
import json
import os
import subprocess
import threading
import time

from document import HARMLESS, REFUSE
from harness.gateway import binary, sanitizer
from oracle import Accepted, refusal_lacks
from placing import place, remove

BATCH = 150
SECONDS = 2.0            # of processor time that one file may cost; a machine that is busy is no hang
MEMORY = 256 << 20       # more than the honest configuration alone
DEADLINE = 60


class Outcome:
    def __init__(self, problems, seconds, memory, fault):
        self.problems, self.seconds, self.memory, self.fault = problems, seconds, memory, fault


def check(world):
    """One process over all that is in the folder."""
    start = time.monotonic()
    with subprocess.Popen([binary(), "check", "--config", world.gateway.configuration, "--output", "json"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        timer = threading.Timer(DEADLINE, process.kill)
        timer.start()
        errors = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
        reader.start()
        output = process.stdout.read()
        reader.join()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        timer.cancel()
    seconds = usage.ru_utime + usage.ru_stime
    if time.monotonic() - start > DEADLINE:
        seconds = DEADLINE
    fault, problems = None, []
    if process.returncode not in (0, 1):
        fault = f"exit code {process.returncode}: {errors[0][-500:]!r}"
    elif errors[0]:
        fault = f"on standard error: {errors[0][:500]!r}"
    try:
        problems = json.loads(output.decode())["problems"]
    except (ValueError, KeyError) as error:
        fault = fault or f"output that is no JSON ({error}): {output[:200]!r}"
    return Outcome(problems, seconds, usage.ru_maxrss * 1024, fault)


class Checking:
    """Counts by family, and failures: (case, words)."""

    def __init__(self, world, report=None):
        self.world, self.report = world, report
        self.counts = collections.defaultdict(collections.Counter)
        self.failures = []
        slow = 20 if sanitizer() else 1
        self.most_seconds, self.most_memory = SECONDS * slow, MEMORY * slow
        runs = [check(world) for _ in range(3)]
        assert not any(run.fault for run in runs), runs[0].fault
        assert not any(problem["severity"] == "error" for problem in runs[0].problems), runs[0].problems
        self.base_seconds, self.base_memory = sorted(run.seconds for run in runs)[1], max(run.memory for run in runs)
        self.slowest, self.largest = (0.0, None), (0, None)

    def fail(self, case, words):
        self.failures.append((case, words))
        if self.report:
            self.report(case, words)

    def run(self, cases):
        batch = []
        for case in cases:
            if case.alone:
                self._batch([case])
            else:
                batch.append(case)
            if len(batch) == BATCH:
                self._batch(batch)
                batch = []
        if batch:
            self._batch(batch)

    def _batch(self, batch):
        for case in batch:
            place(case)
        try:
            outcome = check(self.world)
            over = outcome.fault or outcome.seconds > self.base_seconds + self.most_seconds or outcome.memory > self.base_memory + self.most_memory
            if over and len(batch) > 1:
                for case in batch:
                    remove(case)
                middle = len(batch) // 2
                self._batch(batch[:middle])
                self._batch(batch[middle:])
                return
            if len(batch) == 1:
                self._measure(batch[0], outcome)
            self._judge(batch, outcome)
        finally:
            for case in batch:
                remove(case)

    def _measure(self, case, outcome):
        if outcome.fault:
            self.fail(case, outcome.fault)
        seconds, memory = outcome.seconds - self.base_seconds, outcome.memory - self.base_memory
        self.slowest, self.largest = max(self.slowest, (seconds, case.note), key=lambda x: x[0]), max(self.largest, (memory, case.note), key=lambda x: x[0])
        if seconds > self.most_seconds:
            self.fail(case, f"takes {seconds:.1f} s")
        if memory > self.most_memory:
            self.fail(case, f"takes {memory >> 20} MiB")

    def _judge(self, batch, outcome):
        by_stem = {case.stem: [] for case in batch}
        for problem in outcome.problems:
            name = os.path.basename(problem["file"]) if "\n" not in problem["file"] else problem["file"].rpartition("/tenants/")[2]
            stem = name[:7]
            if stem in by_stem:
                by_stem[stem].append(problem)
            elif problem["severity"] == "error":
                self.fail(batch[0], f"one of {len(batch)} files makes an error elsewhere: {problem}")
        accepted = Accepted(self.world)
        for case in batch:
            problems = by_stem[case.stem]
            refused = any(problem["severity"] == "error" for problem in problems)
            self.counts[case.family]["refused" if refused else "harmless"] += 1
            is_text = case.kind == "file"
            for words in refusal_lacks(problems, case.text, is_text):
                self.fail(case, words)
            if refused:
                if case.intent == HARMLESS:
                    first = next(problem for problem in problems if problem["severity"] == "error")
                    self.fail(case, f"refused, but harmless: {first['line']}:{first['column']} {first['message'][:300]}")
                continue
            if case.intent == REFUSE:
                self.fail(case, "accepted, but to be refused")
            if case.kind in ("file", "symlink"):
                for words in accepted.add(case.text, case.file_name, case.stem):
                    self.fail(case, words)
