"""Named distributions of the recipe's fields, as published or (where said) ours.

A preset maps a recipe field to the distribution that it is drawn from; fields it does not name keep their neutral
default. Sources: BFVR-STC A.12, DicFace's VFHQ degradation, GFPGAN, RestoreFormer, CodeFormer stage II, Bringing Old
Films Back to Life.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np

from svfr.degrade.recipe import MASKS
from svfr.errors import UserError


@dataclass(frozen=True)
class Uniform:
    """A real number, uniform in [low, high)."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        return float(rng.uniform(self.low, self.high))


@dataclass(frozen=True)
class Integers:
    """A whole number, uniform in low..high, both included; of every `step`-th."""

    low: int
    high: int
    step: int = 1

    def draw(self, rng: np.random.Generator) -> int:
        return self.low + self.step * int(rng.integers((self.high - self.low) // self.step + 1))


class Choice:
    """One of several values, by weight."""

    def __init__(self, weights: Mapping[Any, float]) -> None:
        self.values = list(weights)
        self.p = np.array(list(weights.values()), np.float64)
        self.p /= self.p.sum()

    def draw(self, rng: np.random.Generator) -> Any:
        return self.values[int(rng.choice(len(self.values), p=self.p))]


@dataclass(frozen=True)
class Sometimes:
    """A draw that happens with probability `p`; otherwise the field stays neutral."""

    p: float
    then: Uniform | Integers | Choice

    def draw(self, rng: np.random.Generator) -> Any:
        return self.then.draw(rng) if rng.random() < self.p else None


Draw = Uniform | Integers | Choice | Sometimes
Preset = dict[str, Draw]


def fixed(value: Any) -> Choice:
    """A draw that always gives `value`."""
    return Choice({value: 1.0})


ISO_ANISO = Choice({"iso": 0.5, "aniso": 0.5})
GREY: Preset = {"look": fixed("grey"), "look_strength": fixed(1.0)}  # the official SVFR input
FILM_LOOKS: Preset = {
    "look": Choice({"grey": 0.4, "sepia": 0.3, "faded": 0.15, "over_exposed": 0.15}),
    "look_strength": Uniform(0.6, 1.0),
}
MASKING: Preset = {  # ours, but for the strokes' geometry: half of the masks are published strokes, a third of all move
    "mask_kind": Choice({"strokes": 0.5} | dict.fromkeys(MASKS[2:], 0.125)),
    "mask_move_x": Sometimes(0.3, Uniform(0.02, 0.15)),
    "mask_move_y": Sometimes(0.3, Uniform(0.02, 0.15)),
    "mask_period": Uniform(16, 64),
}


def _gauss(kind: Choice, size: int, low: float, high: float) -> Preset:
    sigma = Uniform(low, high)
    return {
        "blur_kind": kind,
        "blur_size": fixed(size),
        "blur_sigma_x": sigma,
        "blur_sigma_y": sigma,
        "blur_theta": Uniform(-pi, pi),
    }


def _noise(low: float, high: float, *, grey: float = 0.0, poisson: float = 0.0) -> Preset:
    return {
        "noise_kind": Choice({"gaussian": 1 - poisson, "poisson": poisson}),
        "noise_sigma": Uniform(low, high),
        "noise_grey": Choice({True: grey, False: 1 - grey}),
    }


def _codec(low: int, high: int, **weights: float) -> Preset:
    return {"codec": Choice(weights or {"libx264": 1.0}), "codec_crf": Integers(low, high)}


_DOWN_MIX = {"down_kernel": Choice({"area": 0.2, "linear": 0.4, "cubic": 0.4})}  # DicFace
_SHAKE = {"blur_length": Uniform(3, 25), "blur_cutoff": Uniform(pi / 3, pi)}  # ours; cut-offs of Real-ESRGAN
_BLUR_MIX = Choice({"iso": 0.4, "aniso": 0.3, "motion": 0.2, "sinc": 0.1})

_GFPGAN: Preset = {
    **_gauss(ISO_ANISO, 41, 0.1, 10),
    **_noise(0, 20),
    "scale": Uniform(0.8, 8),
    "jpeg_quality": Integers(60, 100),
}

_BFR: dict[str, Preset] = {
    # BFVR-STC A.12: ranges of the code, order of the paper's Eq. 9 (codec at low resolution, before the up-scale) and
    # libx264 instead of mpeg4, which ignores crf.
    "stc": {**_gauss(fixed("iso"), 11, 2, 5), **_noise(0, 5), "scale": Uniform(2, 4), **_codec(18, 24)},
    "vfhq": {
        **_gauss(Choice({"iso": 0.7, "aniso": 0.3}), 21, 0.1, 10),
        **_noise(0, 10, grey=0.5),
        **_DOWN_MIX,
        "scale": fixed(4.0),
        **_codec(18, 24),
    },
    "gfpgan": {
        **_GFPGAN,
        **{name: Sometimes(0.3, Uniform(-20, 20)) for name in ("shift_r", "shift_g", "shift_b")},
        **{name: Sometimes(0.3, Uniform(0.5, 1.5)) for name in ("brightness", "contrast")},
        "saturation": Sometimes(0.3, Uniform(0, 1.5)),
        "hue": Sometimes(0.3, Uniform(-0.1, 0.1)),
    },
    "restoreformer": {**_GFPGAN, "blur_size": fixed(19)},
    "codeformer": {
        **_gauss(ISO_ANISO, 41, 1, 15),
        **_noise(0, 20),
        "scale": Uniform(4, 30),
        "jpeg_quality": Integers(30, 80),
    },
    # Ours, from here to vhs.
    "mild": {**_gauss(ISO_ANISO, 21, 0.2, 2), **_noise(0, 5, grey=0.5), "scale": Uniform(1, 2), **_codec(18, 26)},
    "medium": {
        **_gauss(_BLUR_MIX, 21, 1, 5),
        **_SHAKE,
        **_noise(2, 12, grey=0.5, poisson=0.3),
        **_DOWN_MIX,
        "scale": Uniform(2, 4),
        **_codec(24, 32, libx264=0.6, hevc=0.2, vp9=0.2),
    },
    "heavy": {
        **_gauss(_BLUR_MIX, 41, 3, 10),
        **_SHAKE,
        **_noise(8, 25, grey=0.5, poisson=0.3),
        **_DOWN_MIX,
        "scale": Uniform(4, 8),
        "jpeg_quality": Integers(40, 80),
        **_codec(30, 40, libx264=0.6, hevc=0.2, mpeg4=0.2),
    },
    "video_call": {
        **_gauss(Choice({"iso": 0.6, "motion": 0.4}), 21, 0.5, 3),
        **_SHAKE,
        **_noise(1, 8, poisson=0.8),
        "scale": Uniform(1.5, 4),
        **_codec(30, 40, libx264=0.5, vp9=0.5),
        "codec_bpp": Uniform(0.03, 0.15),
    },
    "cctv": {
        **_gauss(Choice({"iso": 0.5, "motion": 0.5}), 21, 1, 5),
        **_SHAKE,
        **_noise(4, 16, grey=0.7, poisson=0.5),
        "scale": Uniform(3, 8),
        "down_kernel": fixed("area"),
        **_codec(28, 38, libx264=0.4, hevc=0.4, mpeg4=0.2),
    },
    # A worn home video tape at its own size: nothing is lost to scaling, nearly all to noise.
    "vhs": {**_gauss(fixed("iso"), 11, 1, 4), **_noise(15, 35, grey=0.3)},
    "flicker": {"flicker_p": fixed(0.3), "flicker_low": fixed(0.5), "flicker_high": fixed(1.5)},  # BFVR-STC A.12
    # BFVR-STC renders 30 % of the frames again by stable-diffusion-x4-upscaler; other detail at 1/4 size is ours
    "flicker_pixel": {"flicker_p": fixed(0.3), "flicker_detail": fixed(4.0)},
    "old_film": {  # blur, noise and JPEG of Bringing Old Films Back to Life; the film's own damage is ours
        **_gauss(ISO_ANISO, 21, 0.5, 3),
        "blur_size": Integers(7, 23, step=2),
        **_noise(5, 10, grey=1.0),
        "scale": Uniform(1, 4),
        "jpeg_quality": Integers(40, 100),
        "film_grain": Uniform(4, 14),
        "film_scratches": Integers(1, 5),
        "film_dust": Uniform(1, 12),
        "film_jitter": Uniform(0.5, 3),
        "film_vignette": Uniform(0.1, 0.5),
        "film_flicker": Uniform(0.02, 0.12),
        "brightness": Uniform(0.8, 1.2),
        "contrast": Uniform(0.9, 1.0),
    },
}

PRESETS = tuple(_BFR)


def preset_of(name: str) -> tuple[Preset, Preset, Preset]:
    """The distributions of preset `name` for bfr, color and inpaint. Raises `UserError` for an unknown name."""
    if name not in PRESETS:
        raise UserError(f"unknown degradation preset '{name}': choose among {', '.join(PRESETS)}")
    return _BFR[name], FILM_LOOKS if name == "old_film" else GREY, MASKING
