"""Measures restored videos against their originals: `svfr evaluate restored/ truth/`.

Protocol: the first `frames` frames of each pair of files of the same name (24, as in BFVR-STC's tables), mean over
frames, then over videos. Files of different size are not resized: that would measure the resizing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from svfr.errors import ItemError, UserError
from svfr.faces.detect import Detector, build_detector
from svfr.faces.landmarks import Landmarker, build_landmarker
from svfr.metrics.base import Frames, Hints, Metric
from svfr.metrics.distribution import I3dFeatures, frechet_distance
from svfr.metrics.registry import DISTRIBUTION, Backends, build_available
from svfr.progress import Progress
from svfr.video.decode import read_frames
from svfr.video.isolate import run_isolated

SUFFIXES = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".m4v")
ALL = "all"  # the `video` of rows that belong to the whole set


def compare_videos(
    restored: Path,
    truth: Path,
    metrics: Sequence[str],
    *,
    backends: Backends | None = None,
    detector: str = "mtcnn",
    frames: int = 24,
) -> list[dict[str, Any]]:
    """Rows {video, metric, backend, network_sha256, n_frames, value, reason} for two folders or two files.

    `value` is None where `reason` says why: a metric without its network, a file without a partner, a video that
    cannot be read or has another size. Rows of video "all" hold the mean over videos, and the FVD.
    Raises `UserError` if a place does not exist, nothing matches or a metric is unknown.
    """
    chosen = backends or Backends()
    pairs, alone = _matched(restored, truth)
    built, missing = build_available(metrics, chosen)
    rows = [_row(ALL, name, reason=reason) for name, reason in missing.items()]
    rows += [_row(name, "", reason="there is no truth of this name") for name in alone]
    fvd = I3dFeatures(chosen.device) if any(m in DISTRIBUTION and m not in missing for m in metrics) else None
    features: list[tuple[np.ndarray, np.ndarray]] = []
    with Progress("evaluate", len(pairs), "videos") as progress:
        for name, ours, theirs in pairs:
            try:
                a, b = _read(ours, frames), _read(theirs, frames)
                count = min(len(a), len(b))
                a, b = a[:count], b[:count]
                rows += measure(name, a, b, _hints(b, built, chosen, detector), built)
                if fvd is not None:
                    features.append((fvd(a), fvd(b)))
            except (ItemError, UserError) as error:
                rows.append(_row(name, "", reason=str(error)))
            progress.advance(note=name)
    rows += _means(rows, built)
    if fvd is not None:
        rows.append(_fvd(features, fvd, frames))
    return rows


def measure(
    name: str, restored: Frames, truth: Frames, hints: Hints, metrics: Sequence[Metric]
) -> list[dict[str, Any]]:
    """Rows of one video. A metric that is undefined for it gives a row with a reason; one that means nothing, none."""
    rows = []
    for metric in metrics:
        if not metric.applies(hints):
            continue
        try:
            rows.append(_row(name, metric.name, metric, len(truth), metric(restored, truth, hints)))
        except ItemError as error:
            rows.append(_row(name, metric.name, metric, len(truth), reason=str(error)))
    return rows


def _matched(restored: Path, truth: Path) -> tuple[list[tuple[str, Path, Path]], list[str]]:
    for path in (restored, truth):
        if not path.exists():
            raise UserError(f"{path} does not exist: name two videos, or two folders with videos of the same names")
    if restored.is_file() and truth.is_file():
        return [(restored.stem, restored, truth)], []
    if restored.is_file() or truth.is_file():
        raise UserError(f"{restored} and {truth} are a file and a folder: name two files or two folders")
    ours, theirs = _videos(restored), _videos(truth)
    pairs = [(stem, ours[stem], theirs[stem]) for stem in sorted(set(ours) & set(theirs))]
    if not pairs:
        raise UserError(f"{restored} and {truth} share no video name: restored files must be called like the truth")
    return pairs, sorted(set(ours) - set(theirs))


def _videos(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}


def _read(path: Path, count: int) -> Frames:
    return run_isolated(_decode, path, count)


def _decode(path: Path, count: int) -> Frames:
    """In a child process: the first `count` frames."""
    return np.stack([frame.rgb for frame in read_frames(path, stop=count)])


def _hints(truth: Frames, metrics: Sequence[Metric], backends: Backends, detector: str) -> Hints:
    """Landmarks of the truth's best face in every frame, if a metric is about faces."""
    if not any(metric.name in ("ids", "vidd", "lmd", "akd") for metric in metrics):
        return Hints()
    find, fit = _face_tools(detector, backends.device)
    points = np.full((len(truth), 68, 2), np.nan)
    for index, (frame, faces) in enumerate(zip(truth, find(list(truth)), strict=True)):
        if faces:
            points[index] = fit(frame, [faces[0].box])[0]
    return Hints(points68=points)


@lru_cache(maxsize=1)
def _face_tools(detector: str, device: str) -> tuple[Detector, Landmarker]:
    return build_detector(detector, device=device), build_landmarker("dlib68")


def _row(
    video: str,
    metric: str,
    source: Metric | None = None,
    n_frames: int = 0,
    value: float | None = None,
    reason: str = "",
) -> dict[str, Any]:
    backend, digest = (source.backend, source.network_sha256) if source else ("", "")
    return {
        "video": video,
        "metric": metric,
        "backend": backend,
        "network_sha256": digest,
        "n_frames": n_frames,
        "value": value,
        "reason": reason,
    }


def _means(rows: list[dict[str, Any]], metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    means = []
    for metric in metrics:
        found = [row for row in rows if row["metric"] == metric.name and row["value"] is not None]
        if found:
            count = sum(row["n_frames"] for row in found)
            means.append(_row(ALL, metric.name, metric, count, float(np.mean([row["value"] for row in found]))))
    return means


def _fvd(features: list[tuple[np.ndarray, np.ndarray]], network: I3dFeatures, frames: int) -> dict[str, Any]:
    row = _row(ALL, "fvd") | {"backend": f"{network.backend}, {len(features)} clips"}
    row |= {"network_sha256": network.network_sha256, "n_frames": frames * len(features)}
    if len(features) < 2:
        return row | {"reason": f"FVD needs at least two clips, {len(features)} could be measured"}
    ours, theirs = (np.stack(side) for side in zip(*features, strict=True))
    return row | {"value": frechet_distance(ours, theirs)}
