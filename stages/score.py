"""Stage 3: kept clips in, `scores` table out: a no-reference quality metric on a few frames of each clip."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from stages.actor import Item, Result, Worker, clip_fingerprint
from stages.engine import map_items
from stages.entry import funnel, main, require_rows
from stages.layout import Layout
from svfr.params import Params, ScoreParams
from svfr.quality.iqa import backend_version, build_scorer
from svfr.tables import check_accounted, reject
from svfr.video.clip import decode_clip
from svfr.video.shards import read_member

STAGE, VERSION = "score", "1"


def run(params: Params, root: Path) -> None:
    """Writes `data/scores/`. Raises `UserError` if no clip passes, `WeightsMissing` if the metric's file is absent."""
    layout = Layout(root)
    place = ("clip_id", "shard", "offset", "size")
    clips = [row for row in layout.read("clips", [*place, "sha256", "status"]) if row["status"] == "kept"]
    items = [Item(clip["clip_id"], clip_fingerprint(clip), {name: clip[name] for name in place}) for clip in clips]
    # Not part of a score's identity: the threshold, which decides on a stored score; the device and the batch, with
    # which float32 scores without TF32 differ by rounding only (tests/quality: below 1e-5 between batches). Another
    # version of the backend may score differently, so it is part.
    options = params.score.model_dump(exclude={"threshold", "device", "batch"})
    options["backend_version"] = backend_version(params.score.backend)
    build = _Build(params.score, layout.shards("clips"))
    outcome = map_items(STAGE, build, items, version=VERSION, params=options, engine=params.engine, tools=build.tools)
    rows = []
    rejects = list(outcome.failed)
    limit = params.score.threshold
    for _, result in outcome:
        row = dict(result.rows[0])
        higher = row.pop("higher_is_better")
        row["kept"] = row["mean"] >= limit if higher else row["mean"] <= limit
        rows.append(row)
        if not row["kept"]:
            message = f"{row['metric']} {row['mean']:.3f} is {'below' if higher else 'above'} score.threshold {limit:g}"
            rejects.append(reject(STAGE, row["clip_id"], "low_quality", message))
    good = [row for row in rows if row["kept"]]
    check_accounted(STAGE, [i.id for i in items], [r["clip_id"] for r in good], [r["item_id"] for r in rejects])
    layout.write("scores", rows, rejects)
    print(
        f"score: {len(good)} of {len(items)} clips kept by {params.score.metric}; refused: {funnel(rejects) or 'none'}"
    )
    require_rows(STAGE, good, rejects, layout.rejects("scores"))


class _Build:
    """Makes the worker inside its process, around a scorer of its own or of a server."""

    def __init__(self, options: ScoreParams, shards: Path) -> None:
        self.options, self.shards = options, shards

    def tools(self) -> SimpleNamespace:
        """The scorer that the options name."""
        options = self.options
        scorer = build_scorer(
            options.metric,
            options.backend,
            regressor=options.regressor,
            device=options.device,
            batch=options.batch,
        )
        return SimpleNamespace(scorer=scorer)

    def __call__(self, tools: SimpleNamespace) -> Worker:
        options, scorer = self.options, tools.scorer

        def work(clip: dict[str, Any]) -> Result:
            frames_THWC = decode_clip(read_member(self.shards, clip["shard"], clip["offset"], clip["size"]))
            count = min(options.frames, len(frames_THWC))
            sampled = np.linspace(0, len(frames_THWC) - 1, count).round().astype(int)
            scores = scorer(frames_THWC[sampled])
            row = {
                "clip_id": clip["clip_id"],
                "metric": scorer.metric,
                "backend": scorer.backend,
                "backend_version": scorer.version,
                "regressor": scorer.regressor,
                "frames": sampled.tolist(),
                "scores": scores.tolist(),
                "mean": float(scores.mean()),
                "min": float(scores.min()),
                "higher_is_better": scorer.higher_is_better,
            }
            return Result([row])

        return work


if __name__ == "__main__":
    main(run)
