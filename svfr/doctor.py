"""Looks at the machine: what works here, what does not, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from svfr.errors import UserError

PACKAGES = ("torch", "diffusers", "transformers", "av", "opencv-python", "facenet-pytorch", "dlib-bin", "pyarrow")
ENCODERS = ("libx264", "libx265", "libvpx-vp9", "ffv1")
_MIN_DISK_GIB = 5


@dataclass(frozen=True)
class Check:
    """One line of the table. `needed` parts that are not `good` make `svfr doctor` fail."""

    name: str
    good: bool
    detail: str
    needed: bool = True


def checks(model: Path) -> list[Check]:
    """All checks in order; none of them raises."""
    steps: list[Callable[[], Check]] = [_python, _packages, _video, _memory, _disk, _gpu, _weights]
    return [step() for step in steps] + [_model(model), _serve()]


def table(found: list[Check]) -> str:
    """One line a check: ok, missing (needed) or - (optional)."""
    width = max(len(check.name) for check in found)
    marks = [("ok" if c.good else "FAIL" if c.needed else "-") for c in found]
    return "\n".join(f"{c.name:<{width}}  {mark:<4}  {c.detail}" for c, mark in zip(found, marks, strict=True))


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", (3, 11) <= sys.version_info[:2] < (3, 13), f"{version} (3.11 or 3.12 needed)")


def _packages() -> Check:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", False, f"missing: {', '.join(missing)}; run pip install -e .")
    return Check("packages", True, ", ".join(found))


def _video() -> Check:
    import av
    from av.codec import Codec

    missing = []
    for name in ENCODERS:
        try:
            Codec(name, "w")
        except (av.error.FFmpegError, ValueError):
            missing.append(name)
    ffmpeg = ".".join(map(str, av.library_versions["libavcodec"]))
    detail = f"PyAV {av.__version__}, libavcodec {ffmpeg}"
    return Check("video", not missing, f"{detail}, without {', '.join(missing)}" if missing else detail)


def _memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Check("memory", total >= 4, f"{total:.0f} GiB, {os.cpu_count()} cores")


def _disk() -> Check:
    free = shutil.disk_usage(Path()).free / 2**30
    return Check("disk", free >= _MIN_DISK_GIB, f"{free:.0f} GiB free here ({_MIN_DISK_GIB} GiB wanted)")


def _gpu() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check("gpu", False, "none; the CPU is used, which full-size models are too large for", needed=False)
    free, total = torch.cuda.mem_get_info()
    return Check("gpu", True, f"{torch.cuda.get_device_name()}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free")


def _weights() -> Check:
    from svfr.weights import verify, weights_folder

    try:
        states = verify()
    except UserError as error:
        return Check("weights", False, str(error))
    here = [s.weight.name for s in states if s.state == "ok"]
    damaged = [s.weight.name for s in states if s.state == "damaged"]
    if damaged:
        return Check("weights", False, f"damaged: {', '.join(damaged)}; remove them and run svfr weights get")
    return Check("weights", True, f"{len(here)} of {len(states)} in {weights_folder()}: {', '.join(here) or 'none'}")


def _model(folder: Path) -> Check:
    from svfr.models.folder import verify_model_folder

    try:
        config = verify_model_folder(folder)
    except UserError as error:
        return Check("model", False, f"{error}; train one (dvc repro) or svfr weights import", needed=False)
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) / 2**20
    backend = json.dumps(config.get("identity", {}).get("backend"))
    side = config.get("image_size")
    return Check("model", True, f"{folder}: {side} px, {size:.0f} MiB, identity {backend}", needed=False)


def _serve() -> Check:
    try:
        return Check("web page", True, f"gradio {importlib.metadata.version('gradio')}", needed=False)
    except importlib.metadata.PackageNotFoundError:
        return Check("web page", False, "not installed: pip install 'svfr[serve]'", needed=False)
