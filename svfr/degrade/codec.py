"""A real video codec in the loop: encodes and decodes a short clip in memory, on one thread, bit for bit the same.

Quality is given on libx264's crf scale, 0 (lossless) to 51. HEVC takes the same number and VP9 crf * 63 / 51. MPEG-4
part 2 has no crf and silently ignores one; it gets the fixed quantiser q of the same step: 2 q = 0.625 * 2^(crf / 6),
a whole number of 1..31, so that neighbouring crf can give the same q and all of 40 and above do.

A bit rate replaces the quality. Encoders settle on it over seconds: a short clip exceeds a low one, with mpeg4 by far.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import cv2
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from svfr.degrade.yuv import to_rgb, to_yuv420

_FPS = 25  # nominal: the bit rate is bits per pixel * pixels * 25
_ENCODERS = {"libx264": "libx264", "hevc": "libx265", "mpeg4": "mpeg4", "vp9": "libvpx-vp9"}
_DECODERS = {"libx264": "h264", "hevc": "hevc", "mpeg4": "mpeg4", "vp9": "vp9"}
_OPTIONS = {
    # Without cpu-independent x264 chooses its arithmetic by the CPU, and its macroblock tree reads unset memory: even
    # on one thread 1 to 10 % of the encodes of a short clip then differ from the rest.
    "libx264": {"preset": "medium", "x264-params": "cpu-independent=1"},
    # libx265 4.1 (build 216) writes past its cutree buffers in pictures narrower than 56 px.
    "hevc": {"preset": "veryfast", "x265-params": "log-level=none:pools=none:frame-threads=1:cutree=0"},
    "mpeg4": {},
    "vp9": {"deadline": "good", "cpu-used": "4", "row-mt": "0"},
}
# Least sides in px; smaller pictures are padded. libx265 refuses tiny ones and reads unset memory at a side of 64.
_LEAST_SIDE = {"libx264": 32, "hevc": 72, "mpeg4": 32, "vp9": 32}
_BITEXACT = 1 << 23  # AV_CODEC_FLAG_BITEXACT


def through_codec(frames: list[NDArray[Any]], codec: str, crf: float, bpp: float = 0.0) -> list[NDArray[Any]]:
    """The RGB frames (all of one size, any parity) after encoding and decoding with `codec`; "none" returns them.

    The result depends on all frames at once: a window of a clip differs from the same frames of the whole clip.
    """
    if codec == "none":
        return frames
    H, W = frames[0].shape[:2]
    decoded = decode(encode(frames, codec, crf, bpp), codec)
    if len(decoded) != len(frames):
        raise RuntimeError(f"{codec} gave {len(decoded)} frames for {len(frames)}")
    return [frame[:H, :W] for frame in decoded]


def encode(frames: list[NDArray[Any]], codec: str, crf: float, bpp: float = 0.0) -> list[Packet[Any]]:
    """Packets of the frames, padded by repeated borders to even sides; `bpp` > 0 sets a bit rate instead of crf."""
    padded = [_pad(frame, _LEAST_SIDE[codec]) for frame in frames]
    H, W = padded[0].shape[:2]
    context = _encoder(codec, H, W, crf, bpp)
    packets: list[Packet[Any]] = []
    for index, frame in enumerate(padded):
        picture = av.VideoFrame.from_ndarray(to_yuv420(frame), format="yuv420p")
        picture.pts, picture.time_base = index, Fraction(1, _FPS)
        packets += context.encode(picture)
    return packets + context.encode(None)


def decode(packets: list[Packet[Any]], codec: str) -> list[NDArray[Any]]:
    """The RGB frames of `packets`, in display order."""
    context = av.CodecContext.create(_DECODERS[codec], "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    context.flags |= _BITEXACT
    pictures = [picture for packet in [*packets, None] for picture in context.decode(packet)]
    return [to_rgb(picture.to_ndarray()) for picture in pictures]


def _encoder(codec: str, H: int, W: int, crf: float, bpp: float) -> VideoCodecContext:
    context = av.CodecContext.create(_ENCODERS[codec], "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = W, H, "yuv420p"
    context.time_base, context.framerate = Fraction(1, _FPS), Fraction(_FPS)
    context.thread_count = 1
    context.flags |= _BITEXACT
    options = dict(_OPTIONS[codec])
    if bpp > 0:
        context.bit_rate = max(1000, round(bpp * H * W * _FPS))
    elif codec == "mpeg4":
        context.qmin = context.qmax = min(max(round(0.3125 * 2 ** (crf / 6)), 1), 31)
    else:
        options["crf"] = str(round(crf * 63 / 51) if codec == "vp9" else crf)
        if codec == "vp9":
            context.bit_rate = 0
    context.options = options
    return context


def _pad(frame: NDArray[Any], least: int) -> NDArray[Any]:
    H, W = frame.shape[:2]
    bottom, right = max(H + H % 2, least) - H, max(W + W % 2, least) - W
    return cv2.copyMakeBorder(frame, 0, bottom, 0, right, cv2.BORDER_REPLICATE) if bottom or right else frame
