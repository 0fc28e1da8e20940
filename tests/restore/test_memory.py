"""Work that does not fit is halved."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from svfr.restore import Restorer, restore_video
from svfr.restore.memory import PeakMemory, Splits


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux counts")
def test_the_peak_of_a_block_is_what_it_held_at_once() -> None:
    def hold(mebibytes: int) -> None:
        torch.ones(mebibytes * 2**18).sum()

    with PeakMemory() as peak:
        hold(200)
        hold(100)
    assert peak.mib == pytest.approx(200, abs=15)
    with PeakMemory() as small:
        hold(50)
    assert small.mib == pytest.approx(50, abs=15)  # the peak before it does not count


def test_splits_go_on_until_it_fits_and_stay() -> None:
    splits, seen = Splits(4), []

    def work(count: int) -> str:
        seen.append(count)
        if count < 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "done"

    assert splits(work) == splits(work) == "done"
    assert seen == [0, 1, 2, 2]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_when_nothing_is_left_to_split(error: Exception) -> None:
    def work(count: int) -> None:
        raise error

    with pytest.raises(MemoryError, match="even after halving the work 2 times"):
        Splits(2)(work)


def test_other_errors_are_not_memory() -> None:
    def work(count: int) -> None:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        Splits(2)(work)


def test_a_short_memory_ends_in_a_restored_file_that_says_so(
    tmp_path: Path, restorer: Restorer, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(20))
    decode = type(restorer.network.bundle.vae).decode  # type: ignore[attr-defined]

    def narrow(self: Any, z: torch.Tensor, *args: Any, **rest: Any) -> Any:
        if len(z) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(self, z, *args, **rest)

    monkeypatch.setattr(type(restorer.network.bundle.vae), "decode", narrow)  # type: ignore[attr-defined]
    report = restore_video(source, tmp_path / "out.mp4", model=restorer, options=kit.options)
    assert (report.status, report.frames) == ("restored", 20)
    assert report.warnings == ["memory was short: the work was halved 2 times"]
