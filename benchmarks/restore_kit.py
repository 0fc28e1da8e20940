"""What the benchmarks of restoration are made with: a video with a face, the sample's model, one that costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from torch import Tensor

from stages import base
from stages.layout import Layout
from svfr.faces.embed import build_embedder
from svfr.params import RestoreOptions, load_params
from svfr.restore.network import Anchor, WithoutReference
from svfr.video.encode import VideoWriter


def sample_model(folder: Path) -> Path:
    """The model folder that the sample profile's training starts from: 64 x 64 pixels, it returns what it gets."""
    base.run(load_params(Path("params.yaml")), folder)
    return Layout(folder).base_model


class Copy(WithoutReference):
    """A `Network` of full size that returns what it gets: what remains is everything outside the model."""

    family = "copy"
    size, window = 512, 16
    tasks = frozenset(("bfr", "color", "inpaint"))
    least_overlap = 0
    most_splits = 0
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.embedder = build_embedder("dlib")

    def restore(
        self, crops: Iterator[Tensor], anchor: Anchor | None, options: RestoreOptions, splits: int = 0
    ) -> Iterator[Tensor]:
        """The crops."""
        yield from crops


def write_face_video(path: Path, frames: int, width: int, height: int) -> Path:
    """A portrait that sways over a view, 25 frames a second, H.264."""
    portrait = skimage.data.astronaut()[:256, 96:352]
    side = height * 2 // 3
    face = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    view = cv2.resize(skimage.data.coffee(), (width, height), interpolation=cv2.INTER_AREA)
    with VideoWriter(path, width, height, time_base=Fraction(1, 25), fps=Fraction(25), preset="veryfast") as writer:
        for number in range(frames):
            frame = view.copy()
            x = width // 4 + round(width / 40 * np.sin(number / 15))
            y = height // 6 + round(height / 40 * np.cos(number / 20))
            frame[y : y + side, x : x + side] = face
            writer.write(frame, number)
    return path
