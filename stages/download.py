"""Stage 1: sources in, `videos` table and tar shards of media out.

Every source is fetched whole, named by its digest and probed in a worker process, which a hostile file may take down
without harm. What cannot be used becomes a row of the rejects with its reason.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stages.engine import Item, Result, Worker, map_items
from stages.entry import main, require_rows
from stages.fetch import fetch
from stages.layout import Layout
from stages.media import media_path, store_path, write_media_shards
from stages.sources import read_sources
from svfr.artifacts import short_id
from svfr.errors import ItemError
from svfr.params import DownloadParams, Params
from svfr.tables import Row, check_accounted, reject
from svfr.video.probe import Limits, probe

STAGE, VERSION = "download", "2"


def run(params: Params, root: Path) -> None:
    """Writes `data/videos/`. Raises `UserError` if the list is missing or no source gave a video."""
    layout = Layout(root)
    sources = read_sources(layout.sources)
    store = store_path(params.engine)
    items = [Item(short_id(source["uri"]), source, {**source, "store": str(store)}) for source in sources]
    options = params.download.model_dump(exclude={"sources", "shard_bytes"})
    outcome = map_items(STAGE, _Build(params.download), items, version=VERSION, params=options, engine=params.engine)
    rows, rejects, owner = [], list(outcome.failed), dict[str, str]()
    for item_id, result in outcome:
        row = result.rows[0]
        if not media_path(store, row["sha256"]).exists():  # removed since; what was probed of it is still known
            try:
                fetch(row["uri"], row["sha256"], store, params.download)
            except ItemError as error:
                rejects.append(reject(STAGE, item_id, error.code, str(error)))
                continue
        if row["video_id"] in owner:
            message = f"'{row['uri']}' has the same content as '{owner[row['video_id']]}'"
            rejects.append(reject(STAGE, item_id, "duplicate", message))
            continue
        owner[row["video_id"]] = row["uri"]
        rows.append({**row, "item_id": item_id})
    check_accounted(STAGE, [i.id for i in items], [r["item_id"] for r in rows], [r["item_id"] for r in rejects])
    placed = write_media_shards(rows, layout.shards("videos"), store, params.download.shard_bytes)
    layout.write("videos", placed, rejects)
    require_rows(STAGE, placed, rejects, layout.rejects("videos"))


class _Build:
    """Makes the worker inside its process."""

    def __init__(self, params: DownloadParams) -> None:
        self.params = params

    def __call__(self) -> Worker:
        limits = Limits(
            max_pixels=self.params.max_pixels,
            max_duration=self.params.max_duration,
            max_bytes=self.params.max_bytes,
        )

        def work(source: dict[str, Any]) -> Result:
            path = fetch(source["uri"], source["sha256"], Path(source["store"]), self.params)
            return Result(rows=[_describe(source, path, limits)])

        return work


def _describe(source: dict[str, str], path: Path, limits: Limits) -> Row:
    info = probe(path, limits)
    local = Path(source["uri"])
    modified = datetime.fromtimestamp(local.stat().st_mtime, UTC) if local.exists() else datetime.now(UTC)
    return {
        "video_id": path.name[:16],
        "uri": source["uri"],
        "sha256": path.name,
        "bytes": path.stat().st_size,
        "width": info.width,
        "height": info.height,
        "fps_num": info.fps.numerator,
        "fps_den": info.fps.denominator,
        "vfr": info.vfr,
        "n_frames": info.n_frames,
        "duration": info.duration,
        "rotation": info.rotation,
        "codec": info.codec,
        "has_audio": info.has_audio,
        "licence": source["licence"],
        "source_dataset": source["source_dataset"],
        "fetched_at": modified.isoformat(timespec="seconds"),
    }


if __name__ == "__main__":
    main(run)
