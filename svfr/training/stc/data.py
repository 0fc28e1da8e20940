"""Windows of clips with their degraded views, on the tables that SVFR is trained on too.

An item is a pure function of (seed, position): neither the number of workers nor an interruption changes it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from svfr.degrade import Recipe, apply_recipe, sample_recipe, schedule_at
from svfr.errors import UserError
from svfr.params import STCPredictorParams
from svfr.tables import Row, read_table
from svfr.training.order import below, clip_at, generator_for
from svfr.training.pixels import read_pixels
from svfr.training.stc.config import STCTrainConfig

_OPEN_CLIPS = 16  # decoded clips that a process keeps at hand
DEFLICKER_PRESET = "flicker"


@dataclass(frozen=True)
class Clip:
    """A row of `clips` with the recipes of its blind-restoration views."""

    row: Row
    recipes: list[Recipe]


@dataclass(frozen=True)
class Batch:
    """Clean and degraded windows (B,3,T,H,W) in [0,1]; in stage I both are the clean one."""

    hq: Tensor
    lq: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`."""
        return Batch(self.hq.to(device, non_blocking=True), self.lq.to(device, non_blocking=True))


def as_video(frames_THWC: NDArray[np.uint8]) -> Tensor:
    """uint8 frames -> (1,3,T,H,W) in [0,1]."""
    return torch.from_numpy(np.ascontiguousarray(frames_THWC)).permute(3, 0, 1, 2)[None].float() / 255


def as_frames(video_1CTHW: Tensor) -> NDArray[np.uint8]:
    """The inverse: (1,3,T,H,W), clipped to [0,1] -> (T,H,W,3) uint8, rounded to nearest."""
    return (video_1CTHW[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 3, 0).cpu().numpy()


def join(items: list[Batch]) -> Batch:
    """Concatenates items along B; a DataLoader's `collate_fn`."""
    return Batch(torch.cat([item.hq for item in items]), torch.cat([item.lq for item in items]))


def read_clips(config: STCTrainConfig, split: str) -> list[Clip]:
    """The clips of `split` that are long enough, by clip_id; in stage II only those with a view to learn from.

    Raises `UserError` if nothing is left to train on.
    """
    rows = {row["clip_id"]: row for row in read_table(config.clips, "clips")}
    recipes: dict[str, list[Recipe]] = defaultdict(list)
    for pair in read_table(config.pairs, "pairs"):
        if pair["split"] == split and pair["clip_id"] in rows:
            views = recipes[pair["clip_id"]]
            if pair["bfr"] and not pair["color"] and not pair["inpaint"]:
                views.append(Recipe.from_row(pair))
    drawn = config.stage == "vqgan" or preset_of(config)
    clips = [
        Clip(rows[clip_id], views)
        for clip_id, views in sorted(recipes.items())
        if rows[clip_id]["n_frames"] >= config.params.frames and (views or drawn)
    ]
    if not clips and split == "train":
        raise UserError(
            f"{config.pairs} leaves no clip of {config.params.frames} frames to train on: add sources, lower frames, "
            "or raise degrade.task_weights of bfr"
        )
    return clips


def preset_of(config: STCTrainConfig) -> str:
    """The preset that degraded views are drawn from; empty if they are those of the pairs table."""
    given = config.params.preset if isinstance(config.params, STCPredictorParams) else ""
    return given or (DEFLICKER_PRESET if config.network.variant == "deflicker" else "")


class WindowDataset(Dataset[Batch]):
    """Items by position; see the module's text. `stream` separates validation's randomness from training's."""

    def __init__(self, clips: list[Clip], config: STCTrainConfig, stream: str = "train") -> None:
        self.clips, self.config, self.stream = clips, config, stream
        self.pixels = lru_cache(_OPEN_CLIPS)(self._decode)  # (T,H,W,3) uint8 of a clip by number

    def __getitem__(self, position: int) -> Batch:
        """One window (B = 1) of the clip at `position`. Raises `UserError` naming the clip if its files are damaged."""
        params = self.config.params
        number = clip_at(position, len(self.clips), params.seed)
        draw = generator_for("stc", self.stream, params.seed, position)
        start = below(self.clips[number].row["n_frames"] - params.frames + 1, draw)
        return self.window(number, start, position, draw)

    def window(self, number: int, start: int, position: int, draw: torch.Generator) -> Batch:
        """The window from frame `start` of clip `number`, degraded by a view chosen with `draw`."""
        clean = self.pixels(number)[start : start + self.config.params.frames]
        if not isinstance(self.config.params, STCPredictorParams):
            hq = as_video(self._shrunk(clean))
            return Batch(hq, hq)
        degraded = apply_recipe(clean, self._recipe(number, position, draw), start=start)
        return Batch(as_video(self._shrunk(clean)), as_video(self._shrunk(degraded)))

    def frames(self, number: int) -> NDArray[np.uint8]:
        """All frames (T,S,S,3) of a clip, at the size that is trained on."""
        return self._shrunk(self.pixels(number))

    def _recipe(self, number: int, position: int, draw: torch.Generator) -> Recipe:
        """A view's recipe; noise-free as long as the incremental schedule says so (BFVR-STC Sec. 4.2)."""
        preset, views = preset_of(self.config), self.clips[number].recipes
        seed = int(torch.randint(2**62, (1,), generator=draw))
        recipe = sample_recipe(preset, seed, ("bfr",)) if preset else views[seed % len(views)]
        params = self.config.params
        assert isinstance(params, STCPredictorParams)
        if params.vary == "frame":
            again = sample_recipe(recipe.preset, recipe.seed, recipe.task, vary="frame")
            recipe = replace(again, schedule=recipe.schedule)
        if params.noise_free_clips and schedule_at(position, params.noise_free_clips) == "noise_free":
            recipe = replace(recipe, schedule="noise_free", noise_kind="none", noise_sigma=0.0)
        return recipe

    def _shrunk(self, frames_THWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """By area to `params.size`."""
        size = self.config.params.size
        if not size or size == frames_THWC.shape[1]:
            return frames_THWC
        shrunk = [cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA) for frame in frames_THWC]
        return np.stack(shrunk).astype(np.uint8)

    def _decode(self, number: int) -> NDArray[np.uint8]:
        return read_pixels(self.config.clip_shards, self.clips[number].row)
