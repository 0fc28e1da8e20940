"""`svfr.restore(...)`: files and frames."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import svfr
from svfr.errors import UserError
from svfr.restore import Restorer


def test_a_file_in_one_call(tmp_path: Path, tiny_model: Path, kit: SimpleNamespace) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(4))
    report = svfr.restore(source, tmp_path / "out.mp4", model=tiny_model)
    assert (report.status, report.settings["steps"]) == ("restored", 2)  # the model's own steps
    assert (tmp_path / "out.mp4").is_file()


def test_frames_in_and_frames_out(restorer: Restorer, kit: SimpleNamespace) -> None:
    wide = [np.concatenate([f, c], axis=1) for f, c in zip(kit.face_frames(3), kit.scenery(3), strict=True)]
    result = svfr.restore(iter(wide), model=restorer, steps=1)
    assert result.frames.shape == (3, 144, 320, 3)
    assert (result.report.input, result.report.tracks) == ("frames", 1)
    assert (result.frames[:, :, 200:] == np.stack(wide)[:, :, 200:]).all()
    assert (result.frames[:, 40:90, 40:90] != np.stack(wide)[:, 40:90, 40:90]).any()


def test_what_is_refused(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    with pytest.raises(UserError, match="say where the result goes"):
        svfr.restore("old.mp4", model=restorer)
    with pytest.raises(UserError, match="leave the destination out"):
        svfr.restore(kit.face_frames(1), tmp_path / "x", model=restorer)
    with pytest.raises(UserError, match="uint8"):
        svfr.restore([np.zeros((4, 4, 3))], model=restorer)
    with pytest.raises(UserError, match="no frames"):
        svfr.restore([], model=restorer)
    with pytest.raises(UserError, match="option speed"):
        svfr.restore(kit.face_frames(1), model=restorer, speed=2)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = svfr.nonsense  # type: ignore[attr-defined]
