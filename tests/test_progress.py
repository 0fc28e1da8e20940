"""Progress of long work as plain lines."""

from __future__ import annotations

import math
import re

import pytest

from svfr.progress import Progress


def test_lines_are_rare_and_the_last_state_is_always_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("faces", 1000, "videos", every=math.inf) as progress:
        for number in range(1000):
            progress.advance(note=f"v{number}")
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"faces: 1/1000 videos, .*/s, 0 s, \d+ s left v0", lines[0])
    assert re.fullmatch(r"faces: 1000/1000 videos, .*/s, 0 s", lines[1])


def _fail(progress: Progress) -> None:
    progress(2, 4)
    raise ZeroDivisionError


def test_a_failure_and_no_work_at_all_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), Progress("score", 3, every=math.inf) as progress:
        _fail(progress)
    assert capsys.readouterr().err.splitlines()[-1].startswith("score: 2/4 items")
    with Progress("score", 0):
        pass
    assert capsys.readouterr().err.startswith("score: 0/0 items, 0.00/s")
