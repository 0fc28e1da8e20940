"""What the benchmarks of restoration are made with: a video with a face, a tiny model, a network that costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from torch import Tensor

from svfr.faces.embed import build_embedder
from svfr.models.folder import ModelBundle, save_model_folder
from svfr.models.identity import IdentityProjection
from svfr.models.unet import build_unet
from svfr.models.vae import build_vae
from svfr.params import RestoreOptions
from svfr.restore.network import Anchor
from svfr.video.encode import VideoWriter

UNET = {
    "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
    "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"],
    "block_out_channels": [32, 32],
    "layers_per_block": 1,
    "cross_attention_dim": 16,
    "num_attention_heads": [2, 2],
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 24,
}
VAE = {
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "block_out_channels": [32, 32],
    "layers_per_block": 1,
    "sample_size": 32,
    "force_upcast": False,
}


def tiny_model(folder: Path) -> Path:
    """A model folder of 32 x 32 pixels, windows of 8 frames, random weights."""
    torch.manual_seed(0)
    config = {
        "unet": UNET,
        "vae": VAE,
        "identity": {"backend": "dlib"},
        "image_size": 32,
        "window": 8,
        "scheduler": {"sigma_min": 0.002, "sigma_max": 20.0},
        "sampler": {"steps": 2, "guidance": [1.0, 1.0]},
    }
    save_model_folder(folder, ModelBundle(build_unet(UNET), build_vae(VAE), IdentityProjection(128, 16), config))
    return folder


class Copy:
    """A `Network` of full size that returns what it gets: what remains is everything outside the model."""

    family = "copy"
    size, window = 512, 16
    tasks = frozenset(("bfr", "color", "inpaint"))
    refers = False
    most_splits = 0
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.embedder = build_embedder("dlib")

    def restore(
        self, crops: Iterator[Tensor], anchor: Anchor | None, options: RestoreOptions, splits: int = 0
    ) -> Iterator[Tensor]:
        """The crops."""
        yield from crops

    def choose_anchor(self, *_: object) -> Anchor:
        """Never called."""
        raise NotImplementedError

    def tokens(self, *_: object) -> None:
        """Never called."""
        raise NotImplementedError


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
