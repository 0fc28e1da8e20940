"""Short clips as bytes: the near-lossless form in which face clips are stored in shards.

H.264 in MP4, 10 bits, 4:4:4, BT.709, CRF 4: no chroma subsampling, no visible quantisation. Measured on a 512 x 512
portrait panning over 24 frames: 50.4 dB PSNR in RGB, 12 kB a frame (8 bits at the same size: 48.3 dB).
"""

from __future__ import annotations

import io
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from svfr.errors import PassingError
from svfr.video.decode import SCALING
from svfr.video.encode import VideoWriter
from svfr.video.probe import Colour

_COLOUR = Colour(primaries=1, transfer=1, matrix=1, range=1)


def clip_writer(path: Path, width: int, height: int, fps: Fraction, crf: int = 4) -> VideoWriter:
    """The writer of a clip to the file `path` (.mp4); frames are written with time stamps 0, 1, 2 ..."""
    return VideoWriter(path, width, height, time_base=1 / fps, fps=fps, crf=crf, pix_fmt="yuv444p10le", colour=_COLOUR)


def encode_clip(frames_THWC: NDArray[np.uint8], fps: Fraction, crf: int = 4) -> bytes:
    """MP4 bytes of `frames_THWC` (T,H,W,3) uint8 RGB at constant rate `fps`; equal input gives equal bytes.

    Raises `UserError` for an empty clip.
    """
    height, width = frames_THWC.shape[1:3]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with clip_writer(path, width, height, fps, crf) as writer:
            for number, frame in enumerate(frames_THWC):
                writer.write(frame, number)
        return path.read_bytes()


def decode_clip(data: bytes) -> NDArray[np.uint8]:
    """Frames (T,H,W,3) uint8 RGB of a clip that `encode_clip` made. Raises `PassingError` `unreadable` if damaged."""
    scaler = VideoReformatter()
    try:
        with av.open(io.BytesIO(data), "r", format="mp4") as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            frames = [
                scaler.reformat(frame, format="rgb24", interpolation=SCALING, threads=1).to_ndarray()
                for frame in container.decode(stream)
            ]
    except (FFmpegError, IndexError) as error:
        raise PassingError("unreadable", f"a stored clip of {len(data)} bytes cannot be decoded ({error})") from error
    if not frames:
        raise PassingError("unreadable", f"a stored clip of {len(data)} bytes holds no frame")
    return np.stack(frames)
