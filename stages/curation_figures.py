"""What `reports/curation.html` counts and draws: the funnel of the filters and a histogram of each filter's column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.face_filters import FILTERS, REASONS
from svfr.params import Params
from svfr.tables import Row

_BINS = 32


@dataclass(frozen=True)
class Step:
    """One step of the funnel: `fell` items were refused here with `reason`, `left` go on."""

    stage: str
    reason: str
    fell: int
    left: int


@dataclass(frozen=True)
class Bar:
    """A bin: where it lies and how high it is, as shares 0..1 of the drawing, and its counts."""

    x: float
    kept: float
    refused: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """The distribution of one column. `low` and `high` are the limits' places, 0..1, None where they are outside."""

    title: str
    column: str
    reason: str
    bars: list[Bar]
    first: float
    last: float
    low: float | None
    high: float | None
    limits: str
    count: int


def funnel(n_sources: int, rejects: dict[str, list[Row]], clips: list[Row], scores: list[Row]) -> list[Step]:
    """The steps from sources to clips that are used. Sources and videos first, then clips.

    `rejects` holds the rows of each stage's rejects, `clips` and `scores` the rows of these tables; scores may be
    empty when that stage has not run.
    """
    steps = _drop("download", n_sources, Counter(row["reason"] for row in rejects["videos"]))
    videos = n_sources - sum(step.fell for step in steps)
    about_clips = {row["clip_id"] for row in clips}
    lost = Counter(row["reason"] for row in rejects["clips"] if row["item_id"] not in about_clips)
    steps += [Step("download", "", 0, videos), *_drop("faces", videos, lost), Step("faces", "", 0, len(clips))]
    fell = Counter(row["reason"] for row in clips if row["status"] != "kept")
    steps += _drop("faces", len(clips), fell, REASONS)
    if scores or rejects["scores"]:
        kept = len(clips) - sum(fell.values())
        steps += _drop("score", kept, Counter(row["reason"] for row in rejects["scores"]))
    return steps


def _drop(stage: str, left: int, fell: Counter[str], order: Sequence[str] = ()) -> list[Step]:
    steps = []
    for reason in (*order, *sorted(set(fell) - set(order), key=lambda reason: (-fell[reason], reason))):
        if fell[reason]:
            left -= fell[reason]
            steps.append(Step(stage, reason, fell[reason], left))
    return steps


def histograms(clips: list[Row], scores: list[Row], params: Params) -> list[Histogram]:
    """One drawing for every column that a filter looks at, and one for the quality score."""
    kept = {row["clip_id"] for row in clips if row["status"] == "kept"}
    drawings = []
    for column in dict.fromkeys(each.column for each in FILTERS):
        filters = [each for each in FILTERS if each.column == column]
        pairs = [(float(row[column]), row["clip_id"] in kept) for row in clips if row[column] is not None]
        low = next((limit for each in filters if (limit := each.limits(params.faces)[0]) is not None), None)
        high = next((limit for each in filters if (limit := each.limits(params.faces)[1]) is not None), None)
        if pairs:
            reason = ", ".join(dict.fromkeys(each.reason for each in filters))
            drawings.append(_histogram(filters[0].what, column, reason, pairs, low, high))
    if scores:
        metric = scores[0]["metric"]
        pairs = [(float(row["mean"]), bool(row["kept"])) for row in scores]
        refused = [value for value, good in pairs if not good]
        upper = bool(refused) and min(refused) > params.score.threshold  # a metric that is better when it is lower
        limits = (None, params.score.threshold) if upper else (params.score.threshold, None)
        drawings.append(_histogram(f"{metric} of kept clips, mean", "mean", "low_quality", pairs, *limits))
    return drawings


def _histogram(
    title: str, column: str, reason: str, pairs: list[tuple[float, bool]], low: float | None, high: float | None
) -> Histogram:
    values = np.array([value for value, _ in pairs])
    is_kept = np.array([kept for _, kept in pairs])
    first, last = (float(v) for v in np.percentile(values, [1, 99]))  # the outermost bins take what lies beyond
    if first == last:
        first, last = first - 0.5, last + 0.5
    inside = np.clip(values, first, last)
    edges = np.linspace(first, last, _BINS + 1)
    kept, refused = np.histogram(inside[is_kept], edges)[0], np.histogram(inside[~is_kept], edges)[0]
    top = max(int((kept + refused).max()), 1)
    bars = [
        Bar(n / _BINS, k / top, r / top, f"{edges[n]:.4g} to {edges[n + 1]:.4g}: {k} kept, {r} refused")
        for n, (k, r) in enumerate(zip(kept.tolist(), refused.tolist(), strict=True))
    ]

    def place(limit: float | None) -> float | None:
        return None if limit is None or not first <= limit <= last else (limit - first) / (last - first)

    told = [f"{word} {limit:g}" for word, limit in (("at least", low), ("at most", high)) if limit is not None]
    return Histogram(title, column, reason, bars, first, last, place(low), place(high), " and ".join(told), len(pairs))
