"""What a run would cost, told before it: network calls and disk, without loading a network."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svfr.errors import ItemError
from svfr.models.folder import SVFR
from svfr.params import RestoreOptions
from svfr.restore.batch import Order
from svfr.restore.media import open_media


@dataclass(frozen=True)
class Cost:
    """Of a file with one face all through: `calls` of the network, `scratch` bytes while it is at work."""

    frames: int
    calls: int
    scratch: int
    text: str


def cost(order: Order, model: dict[str, Any]) -> Cost:
    """The cost of an order; `model` is the model's `model.json`. A file that is refused costs nothing."""
    try:
        media = open_media(order.source)
    except ItemError as error:
        return Cost(0, 0, 0, f"refused ({error.code}): {error}")
    info, options, size = media.info, order.options, model.get("image_size", 512)
    frames = min(info.n_frames, options.max_frames) if options.max_frames else info.n_frames
    calls = network_calls(frames, options, model)
    scratch = frames * size * size * 3 * (media.bits // 8)
    text = f"{info.width} x {info.height}, {frames} frames, {info.duration:.1f} s"
    if media.damage:
        text += f" (damaged: {media.damage})"
    return Cost(frames, calls, scratch, f"{text}; about {calls} network calls, {scratch >> 20} MiB of scratch space")


def network_calls(frames: int, options: RestoreOptions, model: dict[str, Any]) -> int:
    """Calls for one face in `frames` frames: a step of a window each, or a window each without sampling steps."""
    window = model.get("window", 16)
    windows = max(1, -(-(frames - options.overlap) // max(1, window - options.overlap)))
    if model.get("family") != SVFR:
        return windows
    first = (options.reference_steps or options.steps) if options.self_refer and not options.reference else 0
    return windows * options.steps + first


def total(costs: Sequence[Cost], folder: Path) -> str:
    """The sum of a run; the disk has to hold one file's scratch space at a time."""
    calls, frames = sum(c.calls for c in costs), sum(c.frames for c in costs)
    need = max((c.scratch for c in costs), default=0)
    place = next(path for path in (folder, *folder.resolve().parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    short = "; THE DISK IS TOO FULL" if need > free else ""
    return (
        f"in all {frames} frames, about {calls} network calls; at most {need >> 20} MiB of scratch space at a time, "
        f"{free >> 20} MiB free{short}"
    )
