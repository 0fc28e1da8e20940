"""One held-out pair: rebuilt, restored and measured. The worker of the evaluate stage."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from stages.actor import Result, Worker
from stages.eval_summary import DEGRADED, MODEL, TRUTH, task_name
from svfr.degrade import Recipe, apply_recipe, recipe_mask
from svfr.diffusion.selfref import sharpness
from svfr.errors import ItemError
from svfr.faces.geometry import Box
from svfr.metrics.base import Frames, Hints, Metric
from svfr.metrics.baseline import build_baseline
from svfr.metrics.distribution import I3dFeatures
from svfr.metrics.registry import Backends, build_available
from svfr.params import EvaluateParams, RestoreOptions
from svfr.restore.memory import PeakMemory
from svfr.restore.model import Restorer, load_restorer
from svfr.restore.pixels import as_pixels, as_tensor
from svfr.restore.preserve import keep_luma
from svfr.tables import Row, reject
from svfr.video.clip import decode_clip
from svfr.video.shards import read_member

STAGE = "evaluate"
_POINTS = 68


def backends_of(params: EvaluateParams, device: str = "cpu") -> Backends:
    """The networks that the parameters name for each family of metrics."""
    return Backends(params.lpips, params.identity, params.landmarks, device)


@dataclass(frozen=True)
class Evaluator:
    """Makes the worker inside its process; model and metric networks are loaded once for all of its pairs."""

    model: Path
    clip_shards: Path
    params: EvaluateParams
    threads: int

    def __call__(self) -> Worker:
        torch.set_num_threads(self.threads)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        restorer = load_restorer(self.model, device=device)
        metrics, missing = build_available(self.params.metrics, backends_of(self.params, device))
        fvd = I3dFeatures(device) if "fvd" in self.params.metrics and "fvd" not in missing else None
        evaluation = PairEvaluation(restorer, self.params, metrics, fvd)

        def work(payload: dict[str, Any]) -> Result:
            clip, pair = payload["clip"], payload["pair"]
            frames = decode_clip(read_member(self.clip_shards, clip["shard"], clip["offset"], clip["size"]))
            return evaluation(frames[: self.params.max_frames], clip, pair)

        return work


@dataclass(frozen=True)
class Made:
    """A restorer's video and what it took."""

    frames: Frames
    seconds: float
    memory_mib: float | None


def made(restore: Callable[[], Frames]) -> Made:
    """The video that `restore` gives, timed."""
    began = time.monotonic()
    with PeakMemory() as peak:
        frames = restore()
    return Made(frames, time.monotonic() - began, peak.mib)


@dataclass(frozen=True)
class PairEvaluation:
    """Restores and measures pairs with one model."""

    restorer: Restorer
    params: EvaluateParams
    metrics: list[Metric]
    fvd: I3dFeatures | None = None

    def __call__(self, truth: Frames, clip: Row, pair: Row) -> Result:
        """Rows of `results` for the model, the degraded input and every baseline; a picture of each as PNG."""
        recipe = Recipe.from_row(pair)
        degraded = apply_recipe(truth, recipe)
        hole = recipe_mask(recipe, *truth.shape[:3]) if recipe.inpaint else None
        hints = Hints(points_of(clip, truth), hole)
        videos = {DEGRADED: Made(degraded, 0.0, 0.0)}
        videos[MODEL] = made(lambda: restore_clip(self.restorer, degraded, recipe.task, hints, self.params))
        for name in self.params.baselines:
            videos[name] = made(partial(build_baseline(name), degraded, recipe.task, hole))
        rows: list[Row] = []
        rejects: list[Row] = []
        for name, video in videos.items():
            self._measure(name, video, truth, hints, pair, rows, rejects)
        pictures = {name: video.frames for name, video in videos.items()} | {TRUTH: truth}
        files = {f"{name}.png": _png(frames[len(frames) // 2]) for name, frames in pictures.items()}
        if self.fvd is not None:
            files |= {f"{name}.npy": _npy(self.fvd(frames)) for name, frames in pictures.items()}
        return Result(rows, files, rejects)

    def _measure(
        self,
        name: str,
        video: Made,
        truth: Frames,
        hints: Hints,
        pair: Row,
        rows: list[Row],
        rejects: list[Row],
    ) -> None:
        head = {"pair_id": pair["pair_id"], "model": name, "task": task_name(pair), "n_frames": len(truth)}
        for metric in self.metrics:
            if not metric.applies(hints):
                continue
            try:
                value = metric(video.frames, truth, hints)
            except ItemError as error:
                rejects.append(reject(STAGE, f"{pair['pair_id']}/{name}/{metric.name}", error.code, str(error)))
                continue
            rows.append(
                {
                    **head,
                    "metric": metric.name,
                    "value": value,
                    "backend": metric.backend,
                    "network_sha256": metric.network_sha256,
                    "seconds": video.seconds,
                    "memory_mib": video.memory_mib,
                }
            )


def restore_clip(
    restorer: Restorer, degraded: Frames, task: tuple[str, ...], hints: Hints, params: EvaluateParams
) -> Frames:
    """The model's video (T,S,S,3) uint8 of a degraded face clip, in two passes if `params.self_refer`.

    With `params.keep_known`, what the task does not ask for stays as in the input, exactly as batch restoration does:
    luma with task color alone, known pixels with task inpaint alone. Raises `ItemError` for frames of another size
    than the model's, or if the network returns NaN.
    """
    if degraded.shape[1:3] != (restorer.size, restorer.size):
        raise ItemError(
            "bad_size", f"the clip has {degraded.shape[1:3]} pixels, the model was made for {restorer.size}"
        )
    lq_N3SS = torch.stack([as_tensor(frame) for frame in degraded])
    options = RestoreOptions(tasks=list(task), steps=params.steps, guidance=params.guidance, seed=params.seed)
    network, anchor = restorer.network, None
    if params.self_refer and network.refers:
        anchor = network.choose_anchor(lq_N3SS[: network.window], sharpness, options)
        anchor = restorer.with_tokens(anchor, _face_box(hints, anchor.frame, network.size))
    frames = torch.cat(list(network.restore(iter([lq_N3SS]), anchor, options)))
    restored = np.stack([as_pixels(frame).astype(np.uint8) for frame in frames])
    return keep_known(restored, degraded, task, hints.hole) if params.keep_known else restored


def keep_known(restored: Frames, degraded: Frames, task: tuple[str, ...], hole: NDArray[np.bool_] | None) -> Frames:
    """The input's luma under the restored colour (color alone); the input outside the hole (inpaint alone)."""
    if task == ("color",):
        pairs = zip(restored.astype(np.float32), degraded.astype(np.float32), strict=True)
        return np.stack([np.rint(keep_luma(ours, given, 255.0)).astype(np.uint8) for ours, given in pairs])
    if task == ("inpaint",) and hole is not None:
        return np.where(hole[..., None], restored, degraded)
    return restored


def points_of(clip: Row, truth: Frames) -> NDArray[np.float64] | None:
    """The clip's landmarks (T,68,2) in pixels, NaN where a frame has none; None if no frame has any."""
    height, width = truth.shape[1:3]
    points = np.full((len(truth), _POINTS, 2), np.nan)
    for index, values in enumerate((clip["points68"] or [])[: len(truth)]):
        if values and len(values) == 2 * _POINTS:
            points[index] = np.asarray(values, np.float64).reshape(_POINTS, 2) * (width, height)
    return points if np.isfinite(points).any() else None


def _face_box(hints: Hints, frame: int, size: int) -> Box:
    """Where the face is in a frame of the clip; the middle two thirds of the crop if the clip has no landmarks."""
    if hints.points68 is None or not np.isfinite(hints.points68[frame]).all():
        return size / 6, size / 6, size * 5 / 6, size * 5 / 6
    (x1, y1), (x2, y2) = hints.points68[frame].min(0), hints.points68[frame].max(0)
    return float(x1), float(y1), float(x2), float(y2)


def _png(frame_HWC: Frames) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame_HWC).save(buffer, "PNG")
    return buffer.getvalue()


def _npy(values: NDArray[np.float64]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()
