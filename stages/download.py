"""Stage 1: sources in, `videos` table and tar shards of media out.

Every source is fetched whole, named by its digest and probed in a worker process, which a hostile file may take down
without harm. Several ranges of one video are cut from one fetch of it. What cannot be used becomes a row of the
rejects with its reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.actor import Item, Result, Worker
from stages.engine import map_items
from stages.entry import main, require_rows
from stages.layout import Layout
from stages.media import media_path, store_path, write_media_shards
from stages.parts import Parts, group_sources, make_again
from stages.sources import read_sources
from svfr.artifacts import short_id
from svfr.errors import ItemError
from svfr.params import DownloadParams, Params
from svfr.sources.entry import Source, refusal
from svfr.tables import Row, check_accounted, reject

STAGE, VERSION = "download", "3"


def run(params: Params, root: Path) -> None:
    """Writes `data/videos/`. Raises `UserError` if the list is missing or no source gave a video."""
    layout = Layout(root)
    sources = read_sources(layout.sources)
    store = store_path(params.engine)
    rejects, groups = _refused(sources), group_sources(sources)
    items = [Item(group_id, group, {**group, "store": str(store)}) for group_id, group in groups.items()]
    # how a file travels does not change it
    travel = {"sources", "shard_bytes", "retries", "timeout", "max_rate", "youtube_url"}
    options = params.download.model_dump(exclude=travel)
    outcome = map_items(STAGE, _Build(params.download), items, version=VERSION, params=options, engine=params.engine)
    for failed in outcome.failed:
        rejects += [{**failed, "item_id": short_id(member["uri"])} for member in groups[failed["item_id"]]["members"]]
    rows, owner = [], dict[str, str]()
    for group_id, result in outcome:
        rejects += result.rejects
        for row in result.rows:
            try:
                if not media_path(store, row["sha256"]).exists():  # removed since; what was probed of it is known
                    make_again(row, groups[group_id], store, params.download)
                _claim(row, owner)
                rows.append(row)
            except ItemError as error:
                rejects.append(reject(STAGE, row["item_id"], error.code, str(error)))
    ids = [short_id(source["uri"]) for source in sources]
    check_accounted(STAGE, ids, [r["item_id"] for r in rows], [r["item_id"] for r in rejects])
    placed = write_media_shards(rows, layout.shards("videos"), store, params.download.shard_bytes)
    layout.write("videos", placed, rejects)
    require_rows(STAGE, placed, rejects, layout.rejects("videos"))


def _refused(sources: list[Source]) -> list[Row]:
    """What the list itself refuses: links out of a folder, entries that could not be read."""
    found = [(source["uri"], refusal(source["uri"])) for source in sources]
    return [reject(STAGE, short_id(uri), *why) for uri, why in found if why is not None]


def _claim(row: Row, owner: dict[str, str]) -> None:
    if row["video_id"] in owner:
        raise ItemError("duplicate", f"'{row['uri']}' has the same content as '{owner[row['video_id']]}'")
    owner[row["video_id"]] = row["uri"]


class _Build:
    """Makes the worker inside its process."""

    def __init__(self, params: DownloadParams) -> None:
        self.params = params

    def __call__(self) -> Worker:
        def work(group: dict[str, Any]) -> Result:
            rows, rejects = list[Row](), list[Row]()
            with Parts(group, Path(group["store"]), self.params) as parts:
                for member in group["members"]:
                    item_id = short_id(member["uri"])
                    try:
                        rows.append({**parts.make(member), "item_id": item_id})
                    except ItemError as error:
                        rejects.append(reject(STAGE, item_id, error.code, str(error)))
            return Result(rows=rows, rejects=rejects)

        return work


if __name__ == "__main__":
    main(run)
