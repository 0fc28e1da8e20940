"""The whole restorer as one call: `svfr.restore("old.mp4", "new.mp4")`, or frames in and frames out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from svfr.errors import UserError
from svfr.params import RestoreOptions
from svfr.restore.engine import Progress, options_with, restore_video
from svfr.restore.ledger import model_choices
from svfr.restore.media import read_picture
from svfr.restore.model import Restorer, load_restorer
from svfr.restore.report import FileReport

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class RestoredFrames:
    """`frames` (T,H,W,3) uint8 RGB, as many and as large as those given, and the report."""

    frames: Frames
    report: FileReport


def restore(
    source: Path | str | Frames | Iterable[Frames],
    destination: Path | str | None = None,
    *,
    model: Restorer | Path | str = "models/svfr",
    device: str = "auto",
    progress: Progress | None = None,
    **options: Any,
) -> FileReport | RestoredFrames:
    """Restores the faces of a file, or of frames in memory.

    `source`: a video, a picture or a folder of pictures, with the file or folder to write as `destination`; or frames
    (T,H,W,3) or an iterable of (H,W,3), uint8 RGB, without one. `options` are fields of `RestoreOptions`, for example
    `tasks=["bfr", "color"]`, `auto=True`, `steps=20`, `reference=["photo.jpg"]`; the model's own values fill the rest.
    Returns the report, with the frames if frames were given. Raises as `restore_video` does.
    """
    choices = {"detector": "mtcnn", "side_by_side": False, "contact_sheet": False, **options}
    if not isinstance(model, Restorer):
        choices = {**model_choices(Path(model)), **choices}
        model = load_restorer(model, device=device)
    chosen = options_with(RestoreOptions(), **choices)
    if isinstance(source, Path | str):
        if destination is None:
            raise UserError(f"{source}: say where the result goes: svfr.restore(source, destination)")
        return restore_video(source, destination, model=model, options=chosen, progress=progress)
    if destination is not None:
        raise UserError("frames come back as frames: leave the destination out, or give a file as the source")
    with tempfile.TemporaryDirectory(prefix="svfr-frames-") as folder:
        return _frames(source, Path(folder), model, chosen, progress)


def _frames(
    source: Iterable[Frames], folder: Path, model: Restorer, options: RestoreOptions, progress: Progress | None
) -> RestoredFrames:
    given, written = folder / "in", folder / "out"
    given.mkdir()
    count = 0
    for count, frame in enumerate(source, 1):
        picture = np.asarray(frame)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise UserError(f"frame {count - 1} is {picture.dtype} {picture.shape}; uint8 (H,W,3) in RGB is needed")
        cv2.imwrite(str(given / f"{count:08d}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not count:
        raise UserError("no frames were given")
    report = restore_video(given, written, model=model, options=options, progress=progress, name="frames")
    return RestoredFrames(np.stack([read_picture(path) for path in sorted(written.glob("*.png"))]), report)
