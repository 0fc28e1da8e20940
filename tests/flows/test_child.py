"""A flow's command never outlives the flow, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.child import run_child
from svfr.errors import UserError

# a command whose grandchild ignores SIGTERM, in a child that could be asked; both write their process id
COMMAND = """
import os, signal, subprocess, sys, time
from pathlib import Path
stubborn = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " \
    "print(1, flush=True); time.sleep(120)"
child = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
child.stdout.readline()
if "leader" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
Path(sys.argv[1] + ".new").write_text(f"{os.getpid()} {child.pid}")
os.replace(sys.argv[1] + ".new", sys.argv[1])
time.sleep(120 if "stay" in sys.argv else 0)
"""
ASKER = """
import signal, sys
from flows.child import run_child
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with SIGINT ignored
run_child(sys.argv[1:])
"""


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ended before it was opened, or before it was read
        return False


def _wait(done: Callable[[], bool], seconds: float = 30) -> bool:
    until = time.monotonic() + seconds
    while not done() and time.monotonic() < until:
        time.sleep(0.02)
    return done()


def _ask(tmp_path: Path, *flags: str) -> tuple[subprocess.Popen[bytes], list[int]]:
    """An asker in a group of its own, and the ids of the command and its grandchild."""
    pids = tmp_path / "pids"
    command = [sys.executable, "-c", COMMAND, str(pids), "stay", *flags]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    asker = subprocess.Popen(
        [sys.executable, "-c", ASKER, *command], env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    )
    assert _wait(pids.exists)
    return asker, [int(pid) for pid in pids.read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kill", [os.kill, os.killpg])
def test_nothing_is_left_when_the_asker_is_ended(tmp_path: Path, number: int, kill: Callable[[int, int], None]) -> None:
    asker, pids = _ask(tmp_path)
    assert all(map(_alive, pids))
    kill(asker.pid, number)
    asker.wait(60)  # the command by itself takes longer
    assert _wait(lambda: not any(map(_alive, pids)))


@pytest.mark.slow
def test_a_command_that_ignores_sigterm_is_ended_by_force(tmp_path: Path) -> None:
    asker, pids = _ask(tmp_path, "leader")
    began = time.monotonic()
    asker.kill()
    asker.wait(60)  # the command by itself takes longer
    assert _wait(lambda: not any(map(_alive, pids)))
    assert time.monotonic() - began > 5  # it was asked first


def test_nothing_is_left_when_the_command_ends_by_itself(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    run_child([sys.executable, "-c", COMMAND, str(pids)], tmp_path)
    assert not any(_alive(int(pid)) for pid in pids.read_text().split())


def test_an_interrupted_call_ends_its_command(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def stop(*_: object) -> None:
        raise TimeoutError("enough")

    previous = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 2.0)
        with pytest.raises(TimeoutError, match="enough"):
            run_child([sys.executable, "-c", COMMAND, str(pids), "stay"], tmp_path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert pids.exists()
    assert not any(_alive(int(pid)) for pid in pids.read_text().split())


def test_status_folder_and_output_pass_through(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_child(["sh", "-c", "pwd; command -v python; echo oops >&2"], tmp_path)
    out, err = capfd.readouterr()
    assert out.splitlines() == [str(tmp_path), str(Path(sys.executable).parent / "python")]
    assert err == "oops\n"


@pytest.mark.parametrize(
    ("script", "status"), [("exit 7", 7), ("exit 0", 0), ("kill -9 $$", 137), ("exec no-such-command", 127)]
)
def test_a_failed_command_is_a_line_with_its_status(tmp_path: Path, script: str, status: int) -> None:
    if status == 0:
        run_child(["sh", "-c", script], tmp_path)
    else:
        with pytest.raises(UserError, match=rf"^'sh -c .*' failed with status {status}; its last lines above say why$"):
            run_child(["sh", "-c", script], tmp_path)


def test_a_command_that_is_not_there_is_a_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="'no-such-command x' failed with status 127"):
        run_child(["no-such-command", "x"], tmp_path)
    assert capfd.readouterr().err == "error: no-such-command is not there\n"
