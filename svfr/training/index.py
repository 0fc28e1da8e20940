"""The training and validation clips as the tables describe them, checked once before the first step."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from svfr.errors import UserError
from svfr.models.folder import read_model_config
from svfr.models.landmark_head import POINTS
from svfr.tables import Row, read_table
from svfr.training.config import TrainConfig
from svfr.training.order import clips_a_rank

VIEWS = 2  # every clip appears under two recipes


@dataclass(frozen=True)
class Clip:
    """One clip with its degraded views: rows of `clips`, `latents` and `pairs`."""

    row: Row
    latents: Row
    pairs: list[Row]


@dataclass(frozen=True)
class Index:
    """`train` clips with at least two pairs each, `validation` clips, both ordered by clip_id."""

    train: list[Clip]
    validation: list[Clip]
    too_short: int  # clips with fewer than `frames` frames, left out


def read_index(config: TrainConfig) -> Index:
    """Joins the three tables. Raises `UserError` for a missing latent, latents of another VAE, no clip to train on."""
    found, short = read_clips(config, ("train", "val"))
    _check_training(found["train"], short, config)
    return Index(found["train"], found["val"], short)


def read_clips(config: TrainConfig, splits: Sequence[str]) -> tuple[dict[str, list[Clip]], int]:
    """The clips of each split, ordered by clip_id, and how many were too short. Raises `UserError` as `read_index`."""
    clips = {row["clip_id"]: row for row in read_table(config.clips, "clips")}
    latents = {row["clip_id"]: row for row in read_table(config.latents, "latents")}
    rejected = _rejected(config.latents.parent / "rejects.parquet")
    vae = read_model_config(config.base)["digests"]["vae.safetensors"]
    views: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for pair in read_table(config.pairs, "pairs"):
        if pair["split"] in splits and pair["clip_id"] not in rejected:
            views[pair["split"], pair["clip_id"]].append(pair)
    found: dict[str, list[Clip]] = {split: [] for split in splits}
    short = 0
    for (split, clip_id), pairs in sorted(views.items()):
        if clip_id not in clips:
            raise UserError(
                f"{config.pairs} names clip {clip_id}, which {config.clips} does not have: run degrade again"
            )
        if clip_id not in latents:
            raise UserError(f"clip {clip_id} has no latents in {config.latents}: run the encode stage again")
        if latents[clip_id]["vae_sha256"] != vae:
            raise UserError(
                f"latents of clip {clip_id} were made by another VAE than {config.base}'s: run encode again"
            )
        if clips[clip_id]["n_frames"] < config.params.frames:
            short += 1
            continue
        found[split].append(Clip(clips[clip_id], latents[clip_id], pairs))
    return found, short


def _rejected(path: Path) -> set[str]:
    return {row["item_id"] for row in read_table(path, "rejects")} if path.exists() else set()


def _check_training(clips: list[Clip], short: int, config: TrainConfig) -> None:
    if not clips:
        why = (
            f"all {short} are shorter than train.frames = {config.params.frames}" if short else "no pair of split train"
        )
        raise UserError(f"{config.pairs} leaves no clip to train on ({why})")
    for clip in clips:
        if len(clip.pairs) < VIEWS:
            raise UserError(
                f"clip {clip.row['clip_id']} has {len(clip.pairs)} degraded view, {VIEWS} are needed in every step: "
                f"raise degrade.pairs_per_clip"
            )
        quiet = sum(pair["schedule"] == "noise_free" for pair in clip.pairs)
        if config.params.noise_free_clips > 0 and min(quiet, len(clip.pairs) - quiet) < VIEWS:
            raise UserError(
                f"clip {clip.row['clip_id']} has {quiet} noise-free and {len(clip.pairs) - quiet} full views, "
                f"train.noise_free_clips needs {VIEWS} of each: set degrade.noise_free_share to about 0.5"
            )


def check_batch(clips: int, world: int, config: TrainConfig) -> None:
    """Raises `UserError` if a step wants too many clips, cannot be shared by `world`, or leaves ULR no negatives."""
    wanted = config.params.batch_clips
    clips_a_rank(wanted, world, "train")
    if wanted > clips:
        raise UserError(
            f"train.batch_clips {wanted} asks for so many different clips a step, the training split has {clips}: "
            "lower it" + (", with train.workers" if world > clips else "")
        )
    if wanted < 2 and config.params.lambda_ulr > 0:
        raise UserError(
            "ULR compares clips, but a step holds only one: raise train.batch_clips, or set train.lambda_ulr to 0"
        )


def points_of(clip: Clip, start: int, count: int) -> Tensor:
    """Landmarks (count,136) of a window, normalised crop coordinates; NaN in frames without landmarks."""
    points = torch.full((count, 2 * POINTS), math.nan)
    for frame, values in enumerate((clip.row["points68"] or [])[start : start + count]):
        if values and len(values) == 2 * POINTS:
            points[frame] = torch.tensor(values)
    return points


def mean_shape(clips: list[Clip]) -> Tensor:
    """The mean face (136,) of the training clips. Raises `UserError` if the table holds no landmarks at all."""
    shape = torch.cat([points_of(clip, 0, clip.row["n_frames"]) for clip in clips]).nanmean(0)
    if not bool(shape.isfinite().all()):
        raise UserError(
            "the clips table holds no 68-point landmarks, which the facial prior loss needs: "
            "run the faces stage with a 68-point landmarker, or set train.lambda_prior to 0"
        )
    return shape
