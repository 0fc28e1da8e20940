"""Stage 2: `videos` in, `clips` table and tar shards of face crops out.

One clip per face track and stretch of time. Every filter is a column first and a decision second: the workers
measure, the driver decides, so another limit costs a new table and no new measuring.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.actor import Item, Result, Worker
from stages.engine import Outcome, map_items
from stages.entry import funnel, main, require_rows
from stages.face_clips import Tools, measure
from stages.face_filters import MEASURED, NEAR_DUPLICATE, TRACK, judge, measuring_options
from stages.face_tracks import candidates
from stages.layout import Layout
from stages.media import media_file, store_path
from svfr.artifacts import sha256_bytes
from svfr.errors import ItemError
from svfr.faces.detect import build_detector
from svfr.faces.embed import build_embedder
from svfr.faces.landmarks import build_landmarker
from svfr.params import FaceParams, Params
from svfr.quality.duplicates import near_duplicates
from svfr.quality.frontal import FrontalDetector
from svfr.quality.text import TextDetector
from svfr.tables import Row, TableWriter, check_accounted, reject, write_table
from svfr.video.shards import ShardWriter

STAGE, VERSION = "faces", "4"
_SHARD_BYTES = 512 << 20
Reasons = dict[str, tuple[str, str]]  # clip_id: (reason, explanation), both empty for a clip that stays


def run(params: Params, root: Path) -> None:
    """Writes `data/clips/`. Raises `UserError` if no clip survives the filters."""
    layout = Layout(root)
    videos = layout.read("videos")
    items = [Item(video["video_id"], [video["sha256"], video["region"]], video) for video in videos]
    build = _Build(params.faces, layout, store_path(params.engine))
    options = measuring_options(params.faces)
    outcome = map_items(STAGE, build, items, version=VERSION, params=options, engine=params.engine, tools=build.tools)
    reasons = _decide(outcome, params.faces)
    rejects = list(outcome.failed)
    kept, seen = 0, set[str]()
    shutil.rmtree(layout.shards("clips"), ignore_errors=True)
    with (
        TableWriter(layout.table("clips"), "clips") as table,
        ShardWriter(layout.shards("clips"), "clips", _SHARD_BYTES) as shards,
    ):
        for row, result in _rows(outcome):
            reason, why = reasons[row["clip_id"]]
            place: dict[str, Any] = {}
            if reason:
                rejects.append(reject(STAGE, row["clip_id"], reason, f"{_where(row)}: {why}"))
            else:
                media = result.files[f"{row['clip_id']}.mp4"]
                place = {**vars(shards.add(row["clip_id"], {"mp4": media})), "sha256": sha256_bytes(media)}
                kept += 1
            table.write({**row, **place, "status": "rejected" if reason else "kept", "reason": reason})
            seen.add(row["video_id"])
        check_accounted(STAGE, [item.id for item in items], seen, [row["item_id"] for row in outcome.failed])
        write_table(layout.rejects("clips"), "rejects", rejects)
    print(f"faces: {kept} of {len(reasons)} clips kept from {len(videos)} videos; refused: {funnel(rejects) or 'none'}")
    require_rows(STAGE, range(kept), rejects, layout.rejects("clips"))


def _rows(outcome: Outcome) -> Iterator[tuple[Row, Result]]:
    """Every clip with its video's result, in the order of the table; one video at a time is held."""
    for _, result in outcome:
        for row in sorted(result.rows, key=lambda row: row["clip_id"]):
            yield row, result


@dataclass(frozen=True)
class _Rival:
    """What is remembered of a clip until the near-duplicates are known."""

    clip_id: str
    track: str
    face_px: float
    phash: list[str]


def _decide(outcome: Outcome, options: FaceParams) -> Reasons:
    """Why each clip is refused. Of near-duplicates the one with the largest face stays."""
    reasons: Reasons = {}
    rivals = []
    for row, _ in _rows(outcome):
        clip_id = row["clip_id"]
        reasons[clip_id] = judge(row, (*TRACK, *MEASURED), options)
        if not reasons[clip_id][0]:
            rivals.append(_Rival(clip_id, f"{row['video_id']} {row['track_id']}", row["face_px"], row["phash"]))
    rivals.sort(key=lambda rival: (-rival.face_px, rival.clip_id))
    found = near_duplicates([r.phash for r in rivals], [r.track for r in rivals], options.max_hash_distance)
    for number, (other, distance) in found.items():
        why = f"{distance:.3f} of its hash differs from clip {rivals[other].clip_id}, at most faces.max_hash_distance"
        reasons[rivals[number].clip_id] = NEAR_DUPLICATE, f"{why} = {options.max_hash_distance:g}"
    return reasons


def _where(row: Row) -> str:
    last = row["start_frame"] + row["n_frames"] - 1
    return f"video {row['video_id']}, frames {row['start_frame']}..{last}, face {row['track_id']}"


class _Build:
    """Makes the worker inside its process, around networks of its own or of a server."""

    def __init__(self, options: FaceParams, layout: Layout, store: Path) -> None:
        self.options, self.layout, self.store = options, layout, store

    def tools(self) -> Tools:
        """The networks that the options name."""
        options = self.options
        return Tools(
            build_detector(options.detector, **{"device": options.device, **options.detector_options}),
            build_landmarker(options.landmarker, device=options.device),
            build_embedder(options.embedder, device=options.device),
            TextDetector(),
            FrontalDetector(),
        )

    def __call__(self, tools: Tools) -> Worker:
        options = self.options

        def work(video: dict[str, Any]) -> Result:
            path, folder = media_file(video, self.layout, self.store), Path(video["scratch"])
            found = list(candidates(path, video, options, tools.detect))
            if not found:
                raise ItemError("no_face", f"no face was found in {video['n_frames']} frames")
            good = [clip for clip in found if not judge(clip.row, TRACK, options)[0]]
            measured = list(measure(path, good, options, tools, folder))
            ids = {row["clip_id"] for row in measured}
            rest = [clip.row for clip in found if clip.row["clip_id"] not in ids]
            return Result(measured + rest, large={f"{name}.mp4": folder / f"{name}.mp4" for name in ids})

        return work


if __name__ == "__main__":
    main(run)
