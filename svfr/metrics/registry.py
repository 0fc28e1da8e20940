"""Metrics by name. A metric whose network is absent is "not available", with the file's name; nothing replaces it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from svfr.errors import UserError, WeightsMissing
from svfr.metrics.base import Metric


@dataclass(frozen=True)
class Backends:
    """Which network stands behind each family of metrics."""

    lpips: Literal["alex", "vgg"] = "alex"
    identity: str = "ir_se50"  # dlib | arcface | ir_se50
    landmarks: str = "fan"  # dlib68 | fan
    device: str = "cpu"


FRAME = ("psnr", "ssim", "psnr_hole", "chroma_error", "colourfulness_gap")
TEMPORAL = ("flicker", "warp_error")
PERCEPTUAL = ("lpips",)
IDENTITY = ("ids", "vidd")
LANDMARK = ("lmd", "akd")
CLIP = (*FRAME, *TEMPORAL, *PERCEPTUAL, *IDENTITY, *LANDMARK)
DISTRIBUTION = ("fvd",)  # metrics of a whole set of clips, not of one
NAMES = (*CLIP, *DISTRIBUTION)


def _frame(name: str) -> Metric:
    from svfr.metrics.colour import ChromaError, ColourfulnessGap
    from svfr.metrics.frame import HolePsnr, Psnr, Ssim

    kinds: dict[str, type[Metric]] = {k.name: k for k in (Psnr, Ssim, HolePsnr, ChromaError, ColourfulnessGap)}
    return kinds[name]()


def _temporal(name: str, backends: Backends) -> Metric:
    from svfr.metrics.temporal import Flicker, WarpError

    return Flicker() if name == "flicker" else WarpError(backends.device)


def _lpips(backends: Backends) -> Metric:
    from svfr.metrics.lpips import Lpips

    return Lpips(backends.lpips, backends.device)


class MetricSet:
    """Builds metrics that share their networks."""

    def __init__(self, backends: Backends) -> None:
        self.backends = backends
        self._shared: dict[str, object] = {}

    def build(self, name: str) -> Metric:
        """See `build_metric`."""
        if name in FRAME:
            return _frame(name)
        if name in TEMPORAL:
            return _temporal(name, self.backends)
        if name in PERCEPTUAL:
            return _lpips(self.backends)
        if name in IDENTITY:
            return self._identity(name)
        if name in LANDMARK:
            return self._landmark(name)
        hint = "; it measures a set of clips, see svfr.metrics.distribution" if name in DISTRIBUTION else ""
        raise UserError(f"unknown metric '{name}': choose among {', '.join(CLIP)}{hint}")

    def _identity(self, name: str) -> Metric:
        from svfr.metrics.embedding import FaceEmbeddings
        from svfr.metrics.identity import Ids, Vidd

        shared = self._once("identity", lambda: FaceEmbeddings(self.backends.identity, self.backends.device))
        assert isinstance(shared, FaceEmbeddings)
        return Ids(shared) if name == "ids" else Vidd(shared)

    def _landmark(self, name: str) -> Metric:
        from svfr.metrics.landmark import Akd, FaceLandmarks, Lmd

        shared = self._once("landmarks", lambda: FaceLandmarks(self.backends.landmarks, self.backends.device))
        assert isinstance(shared, FaceLandmarks)
        return Lmd(shared) if name == "lmd" else Akd(shared)

    def _once(self, key: str, make: Callable[[], object]) -> object:
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]


def check_names(names: Sequence[str]) -> None:
    """Raises `UserError` for a name that is no metric."""
    for name in names:
        if name not in NAMES:
            raise UserError(f"unknown metric '{name}': choose among {', '.join(NAMES)}")


def build_metric(name: str, backends: Backends | None = None) -> Metric:
    """The metric called `name`. Raises `UserError` for an unknown name, `WeightsMissing` for an absent network."""
    return MetricSet(backends or Backends()).build(name)


def build_available(names: Sequence[str], backends: Backends) -> tuple[list[Metric], dict[str, str]]:
    """The metrics whose networks are at hand, and for each other one why it is not available.

    Distribution metrics are checked, not built. Raises `UserError` for an unknown name.
    """
    check_names(names)
    metrics: list[Metric] = []
    missing: dict[str, str] = {}
    shared = MetricSet(backends)
    for name in names:
        try:
            if name in DISTRIBUTION:
                from svfr.metrics.distribution import i3d_file

                i3d_file()
            else:
                metrics.append(shared.build(name))
        except WeightsMissing as error:
            missing[name] = str(error)
    return metrics, missing


def available(name: str, backends: Backends | None = None) -> str | None:
    """None if the metric can be measured here, else the reason, which names the missing file."""
    return build_available([name], backends or Backends())[1].get(name)
