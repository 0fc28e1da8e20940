"""Files that no pipeline should trust, made the same every time from small videos of many codecs and containers."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import skimage.data
from PIL import Image

H264 = ("libx264", {"crf": "18", "g": "8"})
# file name: container, encoder, its options, options of the container
CLIPS: dict[str, tuple[str, str, dict[str, str], dict[str, str]]] = {
    "end.mp4": ("mp4", *H264, {}),
    "front.mp4": ("mp4", *H264, {"movflags": "faststart"}),
    "fragments.mp4": ("mp4", *H264, {"movflags": "frag_keyframe+empty_moov"}),
    "hevc.mp4": ("mp4", "libx265", {"crf": "18", "x265-params": "log-level=none:pools=none:frame-threads=1"}, {}),
    "mpeg4.mov": ("mov", "mpeg4", {"b": "800000", "g": "8"}, {}),
    "h264.mkv": ("matroska", *H264, {}),
    "ffv1.mkv": ("matroska", "ffv1", {"level": "3", "g": "8"}, {}),
    "vp9.webm": ("webm", "libvpx-vp9", {"crf": "20", "b": "0", "g": "8"}, {}),
    "mpeg4.avi": ("avi", "mpeg4", {"b": "800000", "g": "8"}, {}),
    "mjpeg.avi": ("avi", "mjpeg", {"b": "800000"}, {}),
    "h264.ts": ("mpegts", *H264, {}),
    "mpeg2.mpg": ("mpeg", "mpeg2video", {"b": "800000", "g": "8"}, {}),
    "loop.gif": ("gif", "gif", {}, {}),
    "video.flv": ("flv", "flv", {"b": "800000", "g": "8"}, {}),
}
FRAMES = 24
_FORMATS = {"gif": "rgb8", "mjpeg": "yuvj420p"}
_CUTS, _FLIPS = 3, (1, 8, 200, 2000)


def clip(name: str) -> bytes:
    """The 64 x 64 video of `CLIPS`, 24 frames without a face."""
    container, codec, options, container_options = CLIPS[name]
    picture = skimage.data.astronaut()[250:314]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        with av.open(str(path), "w", format=container, container_options=container_options) as output:
            stream = output.add_stream(codec, rate=25, options=options)
            stream.width = stream.height = 64
            stream.pix_fmt = _FORMATS.get(codec, "yuv420p")
            stream.codec_context.thread_count = 1
            for number in range(FRAMES):
                pixels = np.ascontiguousarray(picture[:, 2 * number : 2 * number + 64])
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path.read_bytes()


def cut(clips: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Each clip but the fragmented one, which may end after any fragment, without its end."""
    draw = np.random.default_rng(1)
    for name, data in clips.items():
        for number in range(_CUTS if name != "fragments.mp4" else 0):
            yield f"cut{number}_{name}", data[: int(len(data) * draw.uniform(0.05, 0.9))]


def flipped(clips: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Each clip with one to thousands of changed bytes, and with a part of it lost or overwritten.

    No codec but FFV1 has checksums, so that some of these decode to other pictures without any sign of it.
    """
    draw = np.random.default_rng(2)
    for name, data in clips.items():
        for count in _FLIPS:
            changed = bytearray(data)
            for place in draw.integers(0, len(data), count):
                changed[place] ^= int(draw.integers(1, 256))
            yield f"flip{count}_{name}", bytes(changed)
        start = int(draw.integers(0, len(data) - 300))
        yield f"hole_{name}", data[:start] + data[start + 300 :]
        yield f"noise_{name}", data[:start] + draw.bytes(300) + data[start + 300 :]


def foreign() -> Iterator[tuple[str, bytes]]:
    """What is no video, by the names of videos and by their own."""
    draw = np.random.default_rng(3)
    for suffix in (".mp4", ".mkv", ".avi", ".ts"):
        yield f"empty{suffix}", b""
        yield f"noise{suffix}", draw.bytes(5000)
        yield f"words{suffix}", f"not a video but words, called {suffix}\n".encode() * 100
    for kind, suffix in (("PNG", ".mp4"), ("PNG", ".png"), ("JPEG", ".mkv"), ("WEBP", ".webm"), ("BMP", ".avi")):
        yield f"small_{kind}{suffix}", _still(64, kind, ord(suffix[1]))
    for name, colour in (("large.png", 0), ("large_png.mp4", 1)):
        yield name, _still(10_000, "PNG", colour)
    yield "large.gif", _still(10_000, "GIF", 0)
    yield "archive.mp4", b"PK\x03\x04" + draw.bytes(2000)
    yield "page.mp4", b"<!DOCTYPE html><html><video src='http://localhost/'></video></html>"
    yield "one_byte.mp4", b"\0"
    yield "only_type.mp4", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41"
    yield "only_head.mkv", bytes.fromhex("1a45dfa3")


def boastful(clips: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Headers that claim more than there is: samples, pixels."""
    many = b"\x03\xff\xff\xff"
    yield "samples_of_a_fragment.mp4", _patched(clips["fragments.mp4"], b"trun", 4, b"\0\0\0\1" + many)
    yield "samples_of_one_size.mp4", _patched(clips["end.mp4"], b"stsz", 8, b"\0\0\0\1" + many)
    yield "samples.mp4", _patched(clips["front.mp4"], b"stsz", 12, many)
    yield "wide.gif", clips["loop.gif"][:6] + b"\xff" * 4 + clips["loop.gif"][10:]
    yield "wide.avi", _patched(clips["mjpeg.avi"], b"\xff\xc0", 3, b"\xff" * 4)


def pointing(clips: dict[str, bytes], outside: str, host: str) -> Iterator[tuple[str, bytes]]:
    """Playlists and the like, which name the file `outside` or something at `host`, by their own and videos' names."""
    yield "reference.mov", _referring(clips["end.mp4"], outside)
    for number, target in enumerate(
        (outside, host, f"file:{outside}", f"concat:{outside}|{host}", f"subfile,,:{host}")
    ):
        hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"
        key = hls.replace("#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF')
        dash = (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            f'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="0" '
            f'bandwidth="9" width="64" height="64"><BaseURL>{target}</BaseURL></Representation></AdaptationSet>'
            "</Period></MPD>"
        )
        concat = f"ffconcat version 1.0\nfile '{target}'\n"
        texts = {
            ".m3u8": hls,
            ".mp4": hls + "#\n",
            ".ts": key,
            ".ffconcat": concat,
            ".mkv": concat + "\n",
            ".mpd": dash,
        }
        for suffix, text in texts.items():
            yield f"list{number}{suffix}", text.encode()
    yield "scene.sdp", b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
    yield "list.pls", f"[playlist]\nFile1={host}\nNumberOfEntries=1\n".encode()
    yield "list.asx", f'<asx version="3.0"><entry><ref href="{host}"/></entry></asx>'.encode()
    yield "list.mov", struct.pack(">I4sI4s", 16, b"moov", 8, b"rmra") + host.encode()


def odd_names(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Names that ffmpeg, a URL or a shell would read as something else; each content differs by a byte at its end."""
    names = ["concat:a|b.mp4", "http:x.mp4", "subfile,,start,0,end,9,,:x.mp4", "%d_%2F..%2F.mp4", "a\nb.mp4", "-i.mp4"]
    for number, name in enumerate(
        [*names, "$(touch x);'\".mp4", " .mp4", "data:,x.mp4", "pipe:0", "x.mp4?y#z", "é\u202e.mp4"]
    ):
        yield name, data + bytes([number])


def _still(side: int, kind: str, colour: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (side, side), colour).save(file, kind)
    return file.getvalue()


def _referring(data: bytes, outside: str) -> bytes:
    """An MP4 with its index at the end, whose samples are said to lie in the file `outside`: an alias record."""
    name, path = Path(outside).name.encode(), outside.encode()
    record = bytes(10) + b"\3" + b"vol".ljust(27, b"\0") + bytes(12) + bytes([len(name)]) + name.ljust(63, b"\0")
    record += bytes(16) + struct.pack(">hh", -1, -1) + bytes(16) + struct.pack(">hH", 2, len(path)) + path
    record += bytes(len(path) % 2) + struct.pack(">hH", -1, 0)
    alias = struct.pack(">I4sI", 12 + len(record), b"alis", 0) + record
    start = data.index(b"dref") + 12  # behind the version and the count of entries, which stays 1
    (length,) = struct.unpack_from(">I", data, start)
    changed = bytearray(data[:start] + alias + data[start + length :])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = data.index(box) - 4
        struct.pack_into(">I", changed, place, struct.unpack_from(">I", data, place)[0] + len(alias) - length)
    return bytes(changed)


def _patched(data: bytes, mark: bytes, offset: int, new: bytes) -> bytes:
    """`data` with `new` written `offset` bytes behind the end of the first `mark`."""
    place = data.index(mark) + len(mark) + offset
    return data[:place] + new + data[place + len(new) :]
