"""The degradation recipe: every number that was drawn for one low-quality view of a clip, as one table row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import tau
from typing import Any

import pyarrow as pa

from svfr.errors import UserError

RECIPE_VERSION = "1"  # raised whenever the same row would give other pictures
TASKS = ("bfr", "color", "inpaint")
BLURS = ("none", "iso", "aniso", "motion", "sinc")
KERNELS = ("nearest", "linear", "cubic", "area", "lanczos")
NOISES = ("none", "gaussian", "poisson")
CODECS = ("none", "libx264", "hevc", "mpeg4", "vp9")
LOOKS = ("none", "grey", "sepia", "faded", "over_exposed")
MASKS = ("none", "strokes", "rectangles", "text", "scratches", "hands")

Shapes = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Recipe:
    """All parameters of one degraded view; the defaults change nothing.

    Lengths (blur, jitter, widths) are in pixels of a frame whose shorter side is `reference_size`; they are scaled
    with the frame they are applied to (ours: published ranges are for 512 px faces). Use `dataclasses.replace` to
    override a drawn value. Raises `UserError` for an unknown name, a number out of range or a damaged mask.
    """

    preset: str
    seed: int
    bfr: bool
    color: bool
    inpaint: bool
    recipe_version: str = RECIPE_VERSION
    reference_size: int = 512
    schedule: str = "full"  # full | noise_free (the first phase of BFVR-STC's incremental training)
    vary: str = "clip"  # clip: one draw for all frames | frame: blur, scale, noise and JPEG drawn for each frame

    # Old film
    film_grain: float = 0.0  # std, 0..255 levels
    film_scratches: int = 0  # vertical lines that wander through the clip
    film_dust: float = 0.0  # mean number of specks in a frame
    film_jitter: float = 0.0  # std of the frame's displacement, px
    film_vignette: float = 0.0  # light lost in the corners, 0..1
    film_flicker: float = 0.0  # std of the brightness gain
    # Flicker (BFVR-STC A.12)
    flicker_p: float = 0.0  # share of frames that change
    flicker_low: float = 1.0  # range of the gain
    flicker_high: float = 1.0
    flicker_detail: float = 1.0  # what the frame / flicker_detail cannot hold is drawn anew
    # Blur
    blur_kind: str = "none"
    blur_size: int = 21  # side of the kernel, px, odd
    blur_sigma_x: float = 0.0  # px
    blur_sigma_y: float = 0.0
    blur_theta: float = 0.0  # radians; direction of sigma_x or of the motion
    blur_length: float = 0.0  # px; motion only
    blur_cutoff: float = 3.141592653589793  # radians per px; sinc only
    # Scale
    scale: float = 1.0  # the low picture is the frame / scale
    codec_scale: float = 1.0  # the codec's picture is the frame / codec_scale; differs from scale with vary="frame"
    down_kernel: str = "linear"
    up_kernel: str = "linear"
    # Noise, fresh in every frame
    noise_kind: str = "none"
    noise_sigma: float = 0.0  # std in 0..255 levels; for Poisson noise the std at white
    noise_grey: bool = False  # the same field in all three channels
    # Compression of the low picture
    jpeg_quality: int = 0  # 1..100; 0 = no JPEG
    codec: str = "none"
    codec_crf: float = 0.0  # on libx264's scale 0..51, mapped to each codec's own (see codec.py)
    codec_bpp: float = 0.0  # bits per pixel; above 0 it replaces the crf
    # Colour cast (GFPGAN)
    shift_r: float = 0.0  # added, 0..255 levels
    shift_g: float = 0.0
    shift_b: float = 0.0
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0  # turns, -0.5..0.5
    # Colour loss
    look: str = "none"
    look_strength: float = 1.0  # 0..1
    # Mask, painted white
    mask_kind: str = "none"
    mask_text: str = ""  # lines of text, for mask_kind "text"
    mask_shapes: Shapes = ()  # (width, x0, y0, x1, y1, ...) in shares of the frame, see masks.py
    mask_move_x: float = 0.0  # amplitude of the mask's swing, shares of the frame; 0 = static
    mask_move_y: float = 0.0
    mask_period: float = 32.0  # frames

    def __post_init__(self) -> None:
        if self.recipe_version != RECIPE_VERSION:
            raise UserError(
                f"recipe version {self.recipe_version} cannot be replayed by version {RECIPE_VERSION}: draw it again"
            )
        _known("schedule", self.schedule, ("full", "noise_free"))
        _known("vary", self.vary, ("clip", "frame"))
        _known("blur_kind", self.blur_kind, BLURS)
        _known("down_kernel", self.down_kernel, KERNELS)
        _known("up_kernel", self.up_kernel, KERNELS)
        _known("noise_kind", self.noise_kind, NOISES)
        _known("codec", self.codec, CODECS)
        _known("look", self.look, LOOKS)
        _known("mask_kind", self.mask_kind, MASKS)
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if value is None or not low <= value <= high:
                raise UserError(f"recipe field {name} is {value}: it must lie in {low:g}..{high:g}")
        if self.flicker_low > self.flicker_high:
            raise UserError(f"recipe field flicker_low is {self.flicker_low}: above flicker_high, {self.flicker_high}")
        _check_shapes(self)

    @property
    def task(self) -> tuple[str, ...]:
        """The tasks that a restorer of this view has to solve, in the order bfr, color, inpaint."""
        return tuple(name for name in TASKS if getattr(self, name))

    def to_row(self) -> dict[str, Any]:
        """The recipe as columns of the `pairs` table; only `mask_shapes` is nested (list of lists of float).

        Values have their columns' types: the row read back from the table is the same, and so is its digest.
        """
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        row |= {field.name: float(row[field.name]) for field in fields(self) if field.type == "float"}
        return row | {"mask_shapes": [list(shape) for shape in self.mask_shapes]}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Recipe:
        """The recipe of a `pairs` row; other columns are ignored. `UserError` if a column is missing."""
        missing = [field.name for field in fields(cls) if field.name not in row]
        if missing:
            raise UserError(f"not a recipe row: it lacks {', '.join(missing)}; run the degrade stage again")
        values = {field.name: row[field.name] for field in fields(cls)}
        shapes = tuple(tuple(float(v) for v in shape) for shape in values["mask_shapes"])
        return cls(**(values | {"mask_shapes": shapes}))


def check_task(task: Iterable[str]) -> frozenset[str]:
    """The task set. Raises `UserError` for an unknown name, a bare string, no set of names or an empty one."""
    if isinstance(task, str) or not isinstance(task, Iterable):
        raise UserError(f"task must be a set of names such as {{'bfr'}}, not {task!r}")
    chosen = frozenset(task)
    unknown = sorted(str(name) for name in chosen - set(TASKS))
    if unknown or not chosen:
        raise UserError(
            f"{f'unknown task {unknown[0]}' if unknown else 'no task given'}: choose among bfr, color, inpaint"
        )
    return chosen


def _known(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"recipe field {name} is '{value}': choose among {', '.join(choices)}")


def _check_shapes(recipe: Recipe) -> None:
    """Every shape is (width, x0, y0, ...) with its values near the frame; a text has one for each line."""
    for shape in recipe.mask_shapes:
        if len(shape) < 3 or len(shape) % 2 == 0 or not all(-_FAR <= value <= _FAR for value in shape):
            raise UserError(f"recipe field mask_shapes holds {shape}: it must be (width, x0, y0, x1, y1, ...)")
    lines = recipe.mask_text.count("\n") + 1
    if recipe.mask_kind == "text" and lines != len(recipe.mask_shapes):
        raise UserError(f"recipe field mask_shapes holds {len(recipe.mask_shapes)} places for {lines} lines of text")


_FAR = 100  # frames
_BOUNDS = {
    "seed": (0, 2**63 - 1),
    "reference_size": (1, 1 << 16),
    "film_grain": (0, 255),
    "film_scratches": (0, 1000),
    "film_dust": (0, 10_000),
    "film_jitter": (0, 512),
    "film_vignette": (0, 1),
    "film_flicker": (0, 10),
    "flicker_p": (0, 1),
    "flicker_low": (0, 100),
    "flicker_high": (0, 100),
    "flicker_detail": (1, 64),
    "blur_size": (1, 255),
    "blur_sigma_x": (0, 100),
    "blur_sigma_y": (0, 100),
    "blur_theta": (-tau, tau),
    "blur_length": (0, 255),
    "blur_cutoff": (0.01, 100),
    "scale": (0.25, 64),
    "codec_scale": (0.25, 64),
    "noise_sigma": (0, 255),
    "jpeg_quality": (0, 100),
    "codec_crf": (0, 51),
    "codec_bpp": (0, 64),
    "shift_r": (-255, 255),
    "shift_g": (-255, 255),
    "shift_b": (-255, 255),
    "brightness": (0, 100),
    "contrast": (0, 100),
    "saturation": (0, 100),
    "hue": (-0.5, 0.5),
    "look_strength": (0, 1),
    "mask_move_x": (-1, 1),
    "mask_move_y": (-1, 1),
    "mask_period": (1, 1e9),
}
_ARROW = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string()}
_SHAPES = pa.list_(pa.list_(pa.float64()))

PAIR_RECIPE_FIELDS: list[pa.Field] = [
    pa.field(field.name, _ARROW.get(str(field.type), _SHAPES)) for field in fields(Recipe)
]
"""The recipe's columns of the `pairs` table, in order."""
