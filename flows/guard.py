"""Runs one command so that nothing of it outlives whoever asked for it.

`python -m flows.guard COMMAND ...` starts the command in a session of its own and waits for it. When the guard's
standard input closes, because the asker ended it or died in any way (SIGKILL too), or when the guard is told to stop,
the whole process group is ended: politely first, then by force.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from types import FrameType

GRACE = 10.0  # seconds between SIGTERM and SIGKILL


def guard(command: list[str]) -> int:
    """Runs `command` and returns its exit status: 128 + the signal that ended it, 127 if there is no such command."""
    stop_read, stop_write = os.pipe()
    os.set_blocking(stop_write, False)

    def on_signal(number: int, frame: FrameType | None) -> None:
        os.write(stop_write, b"x")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except FileNotFoundError as error:
        print(f"error: {error.filename} is not there", file=sys.stderr)
        return 127
    exited = os.pidfd_open(child.pid)
    with selectors.DefaultSelector() as selector:
        selector.register(exited, selectors.EVENT_READ, "exited")
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ, "stop")
        selector.register(stop_read, selectors.EVENT_READ, "stop")
        events = {key.data for key, _ in selector.select()}
    status = child.wait() if "exited" in events else 128 + signal.SIGTERM
    _end_group(child)
    return status if status >= 0 else 128 - status


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Ends what is left of the child's process group, whether or not its leader is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            continue


if __name__ == "__main__":
    sys.exit(guard(sys.argv[1:]))
