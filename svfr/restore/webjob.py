"""What the web page's buttons do, without the page: check an upload, restore it, cancel, show a frame of both."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from svfr.errors import UserError
from svfr.params import RestoreOptions
from svfr.restore.engine import options_with, restore_video
from svfr.restore.ledger import model_choices
from svfr.restore.media import Media, open_media
from svfr.restore.model import Restorer
from svfr.restore.names import output_name
from svfr.restore.pixels import to_8_bits
from svfr.restore.report import FileReport
from svfr.restore.serve import ServeLimits

Show = Callable[[float], None]
Picture = NDArray[np.uint8]


class Cancelled(UserError):
    """The user pressed Cancel."""


@dataclass(frozen=True)
class Wish:
    """What a user asked for. `mask` and `reference` are files or empty."""

    tasks: tuple[str, ...]
    auto: bool
    mask: str
    reference: str
    steps: int
    seed: int


@dataclass
class WebJobs:
    """All jobs of one server; results lie below `folder`, each in a folder of its own."""

    restorer: Restorer
    model: Path
    folder: Path
    limits: ServeLimits
    detector: str
    _stops: dict[str, threading.Event] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """The tasks that the model can do."""
        return [task for task in ("bfr", "color", "inpaint", "deflicker") if task in self.restorer.network.tasks]

    @property
    def steps(self) -> int:
        """The model's own number of steps."""
        return int(model_choices(self.model).get("steps", RestoreOptions().steps))

    def check(self, upload: Path) -> Media:
        """The upload, opened. Raises `UserError` for one that is no video, or too long."""
        media = open_media(upload)
        if media.info.duration > self.limits.max_seconds:
            raise UserError(
                f"the video is {media.info.duration:.0f} s long, {self.limits.max_seconds:.0f} s are allowed here: "
                "cut it, or use the command svfr restore"
            )
        return media

    def restore(self, session: str, upload: Path, wish: Wish, show: Show) -> tuple[Path, FileReport]:
        """The restored file and its report. `show` gets the share done, 0..1. Raises `UserError`, `Cancelled`."""
        self.check(upload)
        self._remove_old()
        stop = self._stops[session] = threading.Event()
        choices = {
            **model_choices(self.model),
            "tasks": list(wish.tasks) or self.tasks[:1],
            "auto": wish.auto,
            "mask": wish.mask if "inpaint" in wish.tasks or wish.auto else "",
            "reference": [wish.reference] if wish.reference else [],
            "steps": wish.steps,
            "seed": wish.seed,
            "detector": self.detector,
            "contact_sheet": False,
            "side_by_side": False,
        }
        options = options_with(RestoreOptions(), **choices)
        target = Path(tempfile.mkdtemp(dir=self.folder)) / output_name(upload)

        def progress(done: int, total: int) -> None:
            if stop.is_set():
                raise Cancelled("cancelled")
            show(done / max(total, 1))

        try:
            report = restore_video(upload, target, model=self.restorer, options=options, progress=progress)
        except BaseException:
            shutil.rmtree(target.parent, ignore_errors=True)
            raise
        finally:
            self._stops.pop(session, None)
        target.with_suffix(".json").write_text(json.dumps(report.row(), indent=1), encoding="utf-8")
        return target, report

    def cancel(self, session: str) -> bool:
        """Stops the session's job at its next frame; False if it has none."""
        stop = self._stops.get(session)
        if stop is not None:
            stop.set()
        return stop is not None

    def _remove_old(self) -> None:
        limit = time.time() - 3600 * self.limits.keep_hours
        for folder in self.folder.iterdir():
            if folder.is_dir() and folder.stat().st_mtime < limit:
                shutil.rmtree(folder, ignore_errors=True)


def frame_of(path: Path, share: float) -> Picture:
    """The frame (H,W,3) uint8 at `share` (0..1) of a video's frames."""
    media = open_media(path)
    number = round(share * (media.info.n_frames - 1))
    return to_8_bits(next(media.read(number, number + 1)).rgb)


def painted_mask(painting: dict[str, Any] | None, path: Path) -> bool:
    """Writes what was painted, in any colour, as white on black to `path`; False if nothing was.

    `painting` is the value of Gradio's image editor: layers (H,W,4) uint8 over a background.
    """
    layers = [np.asarray(layer) for layer in (painting or {}).get("layers") or []]
    if not any(layer[..., 3].any() for layer in layers):
        return False
    alpha = np.max([layer[..., 3] for layer in layers], axis=0)
    cv2.imwrite(str(path), np.where(alpha > 0, 255, 0).astype(np.uint8))
    return True


def sentence(report: FileReport) -> str:
    """The report as a few lines of Markdown."""
    lines = [
        report.message or f"Face tracks: **{report.tracks}**, frames: **{report.frames}**, {report.seconds:.0f} s."
    ]
    if report.status == "restored":
        lines.append(f"Tasks: {', '.join(report.tasks)}.")
    if report.identity_distance is not None:
        lines.append(f"Identity distance to the input: {report.identity_distance:.3f} ({report.identity_backend}).")
    return "\n\n".join([*lines, *(f"Note: {text}" for text in report.warnings)])
