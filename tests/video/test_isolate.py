"""Isolation: a child that crashes, hangs or eats memory costs one item."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from svfr.errors import ItemError
from svfr.video.isolate import run_isolated
from svfr.video.probe import probe

_BYTES = 2 << 30


def _code(fn: Callable[..., object], *args: object, timeout: float = 30.0) -> str:
    with pytest.raises(ItemError) as caught:
        run_isolated(fn, *args, timeout=timeout, memory=_BYTES)
    return caught.value.code


def test_results_and_refusals_pass_through(tmp_path: Path) -> None:
    assert run_isolated(divmod, 7, 2, timeout=30, memory=_BYTES) == (3, 1)
    big = run_isolated(np.ones, (2000, 2000), timeout=30, memory=_BYTES)
    assert big.sum() == 4e6
    assert _code(probe, tmp_path / "absent.mp4") == "missing"
    with pytest.raises(ZeroDivisionError):
        run_isolated(divmod, 1, 0, timeout=30, memory=_BYTES)


def test_a_child_that_dies_is_one_refused_item() -> None:
    assert _code(os._exit, 3) == "worker_died"
    assert _code(os.abort) == "worker_died"


def test_a_child_that_hangs_is_killed() -> None:
    start = time.monotonic()
    assert _code(time.sleep, 60, timeout=0.5) == "timeout"
    assert time.monotonic() - start < 10


def test_a_child_that_eats_memory_is_refused() -> None:
    assert _code(np.ones, 1 << 30) in ("out_of_memory", "worker_died")
