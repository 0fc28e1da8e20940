"""A tiny model with random weights, and videos with a real face, made where the tests run."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import skimage.data
import torch

from svfr.models.folder import ModelBundle, save_model_folder
from svfr.models.identity import IdentityProjection
from svfr.models.unet import build_unet
from svfr.models.vae import build_vae
from svfr.params import RestoreOptions
from svfr.restore import Restorer, load_restorer

SIZE, WINDOW = 32, 6
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
    "sample_size": SIZE,
    "force_upcast": False,
}


def save_tiny_model(folder: Path) -> Path:
    """A model folder of 32 x 32 pixels and windows of 6 frames, identity by dlib, random weights."""
    torch.manual_seed(0)
    config = {
        "unet": UNET,
        "vae": VAE,
        "identity": {"backend": "dlib"},
        "image_size": SIZE,
        "window": WINDOW,
        "scheduler": {"sigma_min": 0.002, "sigma_max": 20.0},
        "sampler": {"steps": 2, "guidance": [2.0, 2.0]},
    }
    save_model_folder(folder, ModelBundle(build_unet(UNET), build_vae(VAE), IdentityProjection(128, 16), config))
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model."""
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="session")
def restorer(tiny_model: Path) -> Restorer:
    """The tiny model, loaded once."""
    return load_restorer(tiny_model)


@pytest.fixture(scope="session")
def kit() -> SimpleNamespace:
    """What tests make their inputs with."""
    return SimpleNamespace(
        options=RestoreOptions(steps=2, detector="mtcnn", segment=16, side_by_side=False, contact_sheet=False),
        face_frames=face_frames,
        scenery=scenery,
        write_video=write_video,
        size=SIZE,
    )


def face_frames(count: int, width: int = 160, height: int = 144) -> list[np.ndarray]:
    """A view of the astronaut's head that pans by a pixel a frame."""
    picture = skimage.data.astronaut()
    return [np.ascontiguousarray(picture[20 : 20 + height, 140 + i : 140 + i + width]) for i in range(count)]


def scenery(count: int) -> list[np.ndarray]:
    """A cup of coffee, no face."""
    return [np.ascontiguousarray(skimage.data.coffee()[100:244, 100 + i : 260 + i]) for i in range(count)]


def write_video(
    path: Path,
    frames: list[np.ndarray],
    *,
    times: list[int] | None = None,
    audio: bool = False,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
) -> Path:
    """`times`: a stamp in 1/600 s for each frame (default 24 a second). The sound is a tone in PCM or AAC."""
    stamps = times or [25 * i for i in range(len(frames))]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options={"crf": "12", "preset": "veryfast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = Fraction(1, 600)
        sound = container.add_stream("aac", rate=44_100, layout="mono") if audio else None
        for frame, stamp in zip(frames, stamps, strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = stamp, Fraction(1, 600)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if sound is not None:
            tone = np.sin(np.arange(44_100 * stamps[-1] // 600) / 20).astype(np.float32) * 0.3
            for start in range(0, len(tone), 1024):
                block = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
                block.sample_rate, block.pts = 44_100, start
                container.mux(sound.encode(block))
            container.mux(sound.encode())
    return path
