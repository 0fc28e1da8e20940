"""A small project in which everything up to training is done: real portraits, pairs of two tasks, a model folder."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from matplotlib.cbook import get_sample_data
from PIL import Image
from skimage.data import astronaut

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from project_files import SIZE, UNET, VAE, clip_row, empty_row, pair_row

from stages.layout import Layout
from svfr.faces.landmarks import build_landmarker
from svfr.models.folder import ModelBundle, save_model_folder
from svfr.models.identity import IdentityProjection
from svfr.models.unet import build_unet
from svfr.models.vae import build_vae
from svfr.params import (
    BaseParams,
    DegradeParams,
    DownloadParams,
    EncodeParams,
    EngineParams,
    EvaluateParams,
    FaceParams,
    Params,
    RegisterParams,
    RestoreParams,
    ScoreParams,
    TrainParams,
)
from svfr.video.clip import encode_clip
from svfr.video.shards import ShardWriter

__all__ = ["FRAMES", "clip_row", "empty_row", "eval_params", "pair_row", "write_eval_project", "write_model"]
FRAMES = 3
_FIT_SIDE = 192


def eval_params(root: Path, **evaluate: Any) -> Params:
    """Parameters of the smallest evaluation that still does everything, with the networks that ship in packages."""
    options = {
        "steps": 2,
        "max_frames": FRAMES,
        "identity": "dlib",
        "landmarks": "dlib68",
        "metrics": ["psnr", "ssim", "lpips", "ids", "flicker", "chroma_error", "psnr_hole"],
        **evaluate,
    }
    return Params(
        engine=EngineParams(workers=1, cache=str(root / "cache" / "items")),
        download=DownloadParams(),
        faces=FaceParams(),
        score=ScoreParams(),
        degrade=DegradeParams(),
        base=BaseParams(),
        encode=EncodeParams(),
        train=TrainParams(),
        evaluate=EvaluateParams(**options),
        register=RegisterParams(),
        restore=RestoreParams(),
    )


def portraits() -> list[np.ndarray]:
    """Two people, square crops around the face."""
    with get_sample_data("grace_hopper.jpg") as file:
        hopper = np.asarray(Image.open(file).convert("RGB"))
    return [astronaut()[10:202, 130:322], hopper[20:300, 120:400]]


def write_eval_project(root: Path) -> Layout:
    """Clips of two people, three pairs each (bfr, color, inpaint) in split test, and an untrained model."""
    layout = Layout(root)
    rows, pairs = [], []
    fit = build_landmarker("dlib68")
    with ShardWriter(layout.shards("clips"), "clips", 1 << 30) as writer:
        for number, picture in enumerate(portraits()):
            large = cv2.resize(picture, (_FIT_SIDE,) * 2, interpolation=cv2.INTER_AREA)
            points = fit(large, [(40.0, 40.0, 150.0, 165.0)])[0] / _FIT_SIDE
            small = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
            frames = np.stack([np.roll(small, shift, axis=1) for shift in range(FRAMES)])
            ref = writer.add(f"c{number}", {"mp4": encode_clip(frames, Fraction(25))})
            row = clip_row(f"c{number}", ref.shard, ref.offset, ref.size)
            row |= {"n_frames": FRAMES, "points68": [points.ravel().tolist()] * FRAMES}
            rows.append(row)
            pairs += [pair_row(f"c{number}", view, "test") for view in range(3)]
    layout.write("clips", rows, [])
    layout.write("pairs", pairs, [])
    write_model(layout.model)
    return layout


def write_model(folder: Path, note: int = 0) -> None:
    """An untrained model; another `note` is another digest with the same weights, and so the same figures."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = {"unet": UNET, "vae": VAE, "identity": {"backend": "dlib"}, "image_size": SIZE, "window": FRAMES}
        config |= {"trained": {"note": note}}
        bundle = ModelBundle(build_unet(UNET), build_vae(VAE), IdentityProjection(128, 16), config)
    save_model_folder(folder, bundle)
