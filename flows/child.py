"""Starts a command as a guarded child process of a flow and shows its output as it comes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from svfr.errors import UserError


def run_child(command: Sequence[str], root: Path = Path()) -> None:
    """Runs `command` in `root`; raises `UserError` if it fails.

    The command lives in its own process group under `flows.guard`: when this process leaves, by an exception, a
    cancelled flow or SIGKILL, no process of the command stays behind. The guard has a session of its own, so that
    it outlives a SIGKILL of this process's whole group for as long as that takes.
    """
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    child = subprocess.Popen(
        [sys.executable, "-m", "flows.guard", *command],
        stdin=subprocess.PIPE,
        start_new_session=True,
        cwd=root,
        env=environment | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *_python_path()])},
    )
    try:
        status = child.wait()
    finally:
        if child.stdin:
            child.stdin.close()  # tells the guard to end the group, if it still runs
        child.wait()
    if status:
        raise UserError(f"'{' '.join(command)}' failed with status {status}; its last lines above say why")


def _python_path() -> list[str]:
    return [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
