"""Waiting for something to become true, with a deadline. The tests synchronise by this alone, never by a sleep."""
import time

DEADLINE = 15.0


def poll(condition, what="condition", deadline=DEADLINE, interval=0.01):
    """Calls `condition` until it returns something true, and returns that; fails with its last value after the deadline."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline} s for {what}; last: {value!r}")
        time.sleep(interval)
        interval = min(interval * 1.3, 0.1)
