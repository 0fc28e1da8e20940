"""Stage 2: `videos` in, `clips` table and tar shards of face crops out.

One clip per face track and stretch of time. Every filter is a column first and a decision second, so thresholds can
be judged from the table alone.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from stages.engine import Item, Result, Worker, map_items
from stages.entry import funnel, main, require_rows
from stages.face_clips import Tools, face_clips
from stages.layout import Layout
from stages.media import media_file, store_path
from svfr.faces.detect import build_detector
from svfr.faces.embed import build_embedder
from svfr.faces.landmarks import build_landmarker
from svfr.params import FaceParams, Params
from svfr.quality.text import TextDetector
from svfr.tables import Row, check_accounted, reject
from svfr.video.shards import ShardWriter

STAGE, VERSION = "faces", "1"
_SHARD_BYTES = 512 << 20


def run(params: Params, root: Path) -> None:
    """Writes `data/clips/`. Raises `UserError` if no clip survives the filters."""
    layout = Layout(root)
    videos = layout.read("videos")
    options = params.faces.model_dump()
    items = [Item(video["video_id"], video["sha256"], video) for video in videos]
    build = _Build(params.faces, layout, store_path(params.engine))
    outcome = map_items(STAGE, build, items, version=VERSION, params=options, engine=params.engine)
    rows: list[Row] = []
    rejects = list(outcome.failed)
    seen = set()
    shards = layout.shards("clips")
    shutil.rmtree(shards, ignore_errors=True)
    with ShardWriter(shards, "clips", _SHARD_BYTES) as writer:
        for video_id, result in outcome:
            seen.add(video_id)
            for row in result.rows:
                place: dict[str, Any] = dict.fromkeys(("shard", "offset", "size"))
                if row["status"] == "kept":
                    place = vars(writer.add(row["clip_id"], {"mp4": result.files[row["clip_id"]]}))
                else:
                    rejects.append(reject(STAGE, row["clip_id"], row["reason"], _explain(row, params.faces)))
                rows.append({**row, **place})
    check_accounted(STAGE, [item.id for item in items], seen, [row["item_id"] for row in outcome.failed])
    layout.write("clips", rows, rejects)
    kept = [row for row in rows if row["status"] == "kept"]
    print(
        f"faces: {len(kept)} of {len(rows)} clips kept from {len(videos)} videos; refused: {funnel(rejects) or 'none'}"
    )
    require_rows(STAGE, kept, rejects, layout.rejects("clips"))


class _Build:
    """Makes the worker, with its networks, inside its process."""

    def __init__(self, options: FaceParams, layout: Layout, store: Path) -> None:
        self.options, self.layout, self.store = options, layout, store

    def __call__(self) -> Worker:
        options = self.options
        tools = Tools(
            build_detector(options.detector, **options.detector_options),
            build_landmarker(options.landmarker),
            build_embedder(options.embedder),
            TextDetector(),
        )

        def work(video: dict[str, Any]) -> Result:
            path = media_file(video, self.layout, self.store)
            clips = list(face_clips(path, video, options, tools))
            return Result([clip.row for clip in clips], {c.row["clip_id"]: c.media for c in clips if c.media})

        return work


def _explain(row: Row, options: FaceParams) -> str:
    """The measured value beside the limit that it broke."""
    where = f"frames {row['start_frame']}..{row['start_frame'] + row['n_frames'] - 1}, face {row['track_id']}"
    found = {
        "too_short": lambda: f"{row['n_frames']} frames, faces.min_frames is {options.min_frames}",
        "small_face": lambda: f"crop of {row['face_px']:.0f} px, faces.min_face_px is {options.min_face_px}",
        "side_face": lambda: (
            f"alpha {row['alpha_min']:.2f}..{row['alpha_max']:.2f} leaves [{options.alpha_min}, {options.alpha_max}]"
        ),
        "text": lambda: f"text covers {row['text_score']:.1%}, faces.max_text is {options.max_text:.1%}",
        "blurred": lambda: f"sharpness {row['blur']:.0f}, faces.min_blur is {options.min_blur:.0f}",
    }[row["reason"]]()
    return f"video {row['video_id']}, {where}: {found}"


if __name__ == "__main__":
    main(run)
