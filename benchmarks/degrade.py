"""Degradation speed: `apply_recipe` against a straightforward loop, side by side in one run on one core.

The loop does what published data loaders do: float64 frames, `filter2D` with the full kernel, `numpy.random.normal`,
a PNG file for each frame, one encoder process and one decoder process for each clip, PNG files again, resize. It uses
the same preset, the same codec and the same encoder settings. Where there is no `ffmpeg` program on the machine, the
two processes are Python with PyAV and nothing else; what their start costs is measured and shown, so that the ratio
can also be read as if starting were free. Times are CPU seconds, frames per second are per core.

    python benchmarks/degrade.py --clips 6
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.data import astronaut

from svfr.degrade import Recipe, apply_recipe, sample_recipe
from svfr.degrade import apply as pipeline
from svfr.degrade.blur import gaussian_kernel
from svfr.degrade.scale import low_size

SIDE, LENGTH = 512, 16
STEPS = ("blur", "resize", "add_noise", "through_codec")  # what the presets of this benchmark are made of
Clip = NDArray[np.uint8]

_ENCODE = """
import sys, av, glob
from PIL import Image
out = av.open(sys.argv[2], "w")
names = sorted(glob.glob(sys.argv[1] + "/*.png"))
size = Image.open(names[0]).size
s = out.add_stream("libx264", rate=25, options={"crf": sys.argv[3], "preset": "medium"})
s.width, s.height, s.pix_fmt, s.thread_count = *size, "yuv420p", 1
for name in names:
    out.mux(s.encode(av.VideoFrame.from_image(Image.open(name))))
out.mux(s.encode()); out.close()
"""
_DECODE = """
import sys, av
for i, frame in enumerate(av.open(sys.argv[1]).decode(video=0)):
    frame.to_image().save(f"{sys.argv[2]}/{i:04d}.png", compress_level=1)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--clips", type=int, default=6)
    options.add_argument("--preset", default="stc", choices=["stc", "vfhq"])
    args = options.parse_args()
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # and with it every process of the loop
    picture = astronaut()
    clip = np.stack([np.roll(picture, 3 * t, axis=1) for t in range(LENGTH)])
    recipes = [sample_recipe(args.preset, seed, {"bfr"}) for seed in range(args.clips)]
    _warm_up(clip, recipes[0])

    ours, loop = [], []  # interleaved, so that a busy machine slows both
    steps = dict.fromkeys(STEPS, 0.0)
    for recipe in recipes:
        ours.append(_seconds(lambda r=recipe: _timed_steps(clip, r, steps)))
        loop.append(_seconds(lambda r=recipe: straightforward(clip, r)))
    start = 2 * min(_seconds(_start_encoder) for _ in range(3))
    _report(args.preset, np.array(ours), steps, np.array(loop), start)


def straightforward(clip: Clip, recipe: Recipe) -> Clip:
    """The per-frame loop: files and processes between the steps, double precision, no shared work."""
    rng = np.random.RandomState(recipe.seed)
    low_h, low_w = (side // 2 * 2 for side in low_size(SIDE, SIDE, recipe.scale))  # encoders want even sides
    kernel = gaussian_kernel(recipe.blur_size, recipe.blur_sigma_x, recipe.blur_sigma_y, recipe.blur_theta)
    with tempfile.TemporaryDirectory() as folder:
        raw, decoded, video = Path(folder, "raw"), Path(folder, "decoded"), Path(folder, "clip.mp4")
        raw.mkdir()
        decoded.mkdir()
        for t, frame in enumerate(clip):
            x = frame[..., ::-1].astype(np.float64) / 255
            x = cv2.filter2D(x, -1, kernel)
            x = cv2.resize(x, (low_w, low_h), interpolation=cv2.INTER_LINEAR)
            x = np.clip(x + rng.normal(0, recipe.noise_sigma / 255, x.shape), 0, 1)
            cv2.imwrite(str(raw / f"{t:04d}.png"), (x * 255).round().astype(np.uint8))
        _encode(raw, video, recipe.codec_crf)
        _decode(video, decoded)
        views = []
        for name in sorted(decoded.glob("*.png")):
            x = cv2.imread(str(name)).astype(np.float64) / 255
            x = cv2.resize(x, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
            views.append((x * 255).round().astype(np.uint8)[..., ::-1])
    return np.stack(views)


def _encode(folder: Path, video: Path, crf: float) -> None:
    if shutil.which("ffmpeg"):
        x264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "medium", "-crf", str(crf), "-threads", "1"]
        _run(["ffmpeg", "-v", "error", "-i", f"{folder}/%04d.png", *x264, str(video)])
    else:
        _run([sys.executable, "-c", _ENCODE, str(folder), str(video), str(crf)])


def _decode(video: Path, folder: Path) -> None:
    if shutil.which("ffmpeg"):
        _run(["ffmpeg", "-v", "error", "-threads", "1", "-i", str(video), f"{folder}/%04d.png"])
    else:
        _run([sys.executable, "-c", _DECODE, str(video), str(folder)])


def _start_encoder() -> None:
    """A codec process that does nothing: what one start costs."""
    program = ["ffmpeg", "-version"] if shutil.which("ffmpeg") else [sys.executable, "-c", "import av, PIL.Image"]
    _run(program)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _timed_steps(clip: Clip, recipe: Recipe, seconds: dict[str, float]) -> Clip:
    """`apply_recipe` with a stopwatch around each of `STEPS`."""

    def timed(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            begin = _cpu()
            result = step(*values)
            seconds[name] += _cpu() - begin
            return result

        return call

    plain = {name: getattr(pipeline, name) for name in STEPS}
    for name, step in plain.items():
        setattr(pipeline, name, timed(name, step))
    try:
        return apply_recipe(clip, recipe)
    finally:
        for name, step in plain.items():
            setattr(pipeline, name, step)


def _warm_up(clip: Clip, recipe: Recipe) -> None:
    """Both must give comparable pictures before their speed means anything."""
    ours, loop = apply_recipe(clip, recipe), straightforward(clip, recipe)
    difference = np.abs(ours.astype(np.int16) - loop).mean()
    print(f"mean difference of the two outputs: {difference:.2f} grey levels (the noise is another draw)")


def _seconds(call: Callable[[], object]) -> float:
    """CPU time, user and system, of this process and its children: what else the machine does is left out."""
    begin = _cpu()
    call()
    return _cpu() - begin


def _cpu() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def _report(
    preset: str, ours: NDArray[np.float64], steps: dict[str, float], loop: NDArray[np.float64], start: float
) -> None:
    program = "ffmpeg" if shutil.which("ffmpeg") else "Python with PyAV (no ffmpeg program here)"
    print(f"preset {preset}, {SIDE}x{SIDE}, {LENGTH} frames, {len(ours)} clips, one core; codec processes: {program}")
    codec = steps["through_codec"]
    rows = [
        ("straightforward loop", loop.sum()),
        ("  less process starts", loop.sum() - len(loop) * start),
        ("apply_recipe", ours.sum()),
        *((f"  {name}", total) for name, total in steps.items()),
        ("  the rest", ours.sum() - sum(steps.values())),
    ]
    for name, total in rows:
        print(f"{name:24} {1000 * total / len(ours):9.1f} ms/clip {len(ours) * LENGTH / total:9.1f} frames/s")
    print(f"ratio                    {loop.sum() / ours.sum():9.1f} x (median of clips {np.median(loop / ours):.1f} x)")
    print(f"ratio less starts        {(loop.sum() - len(loop) * start) / ours.sum():9.1f} x")
    print(f"codec's share            {100 * codec / ours.sum():9.0f} %")
    print(f"above the codec          {1000 * (ours.sum() - codec) / len(ours) / LENGTH:9.2f} ms/frame")


if __name__ == "__main__":
    main()
