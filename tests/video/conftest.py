"""Real video files, made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import skimage.data

Maker = Callable[..., Path]


def picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Frame `number` of a pan over a photograph."""
    return np.ascontiguousarray(skimage.data.astronaut()[:height, 2 * number : 2 * number + width])


@pytest.fixture
def make_video(tmp_path: Path) -> Maker:
    def make(
        name: str = "video.mp4",
        *,
        pts: list[int] | None = None,
        count: int = 20,
        size: tuple[int, int] = (64, 48),
        audio: bool = False,
        subtitles: bool = False,
        rotation: int = 0,
        codec: str = "libx264",
        options: dict[str, str] | None = None,
        container_options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        stamps = pts or [i * 3600 for i in range(count)]
        with av.open(str(path), "w", container_options=container_options or {}) as output:
            stream = output.add_stream(codec, rate=25, options=options or {"crf": "10", "g": "8"})
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            if path.suffix not in (".avi", ".mpg"):  # which count in frames
                stream.codec_context.time_base = Fraction(1, 90_000)
            if rotation:
                stream.set_display_rotation(-rotation)
            sound = output.add_stream("aac", rate=44_100, layout="mono") if audio else None
            text = output.add_mux_stream("mov_text") if subtitles else None
            output.metadata["title"] = "a title"
            for number, stamp in enumerate(stamps):
                frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
                frame.pts, frame.time_base = stamp, Fraction(1, 90_000)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
            if sound is not None:
                tone = np.sin(np.arange(44_100) / 20).astype(np.float32)[None]
                for start in range(0, tone.shape[1] - 1023, 1024):
                    wave = av.AudioFrame.from_ndarray(tone[:, start : start + 1024], format="fltp", layout="mono")
                    wave.sample_rate, wave.pts = 44_100, start
                    output.mux(sound.encode(wave))
                output.mux(sound.encode(None))
            if text is not None:
                packet = av.Packet(b"\x00\x05hello")
                packet.stream, packet.time_base = text, Fraction(1, 1000)
                packet.pts = packet.dts = 100
                packet.duration = 400
                output.mux_one(packet)
        return path

    return make
