"""Source media: the content store they are fetched into, the shards they are kept in, and the way back to a file."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from stages.layout import Layout
from svfr.artifacts import atomic_write, inside, sha256_file
from svfr.errors import PassingError
from svfr.params import EngineParams
from svfr.tables import Row
from svfr.video.shards import ShardWriter


def store_path(engine: EngineParams) -> Path:
    """The folder of fetched media, one file a digest, beside the item cache."""
    return Path(engine.cache).parent / "media"


def media_path(store: Path, sha256: str) -> Path:
    """The file of the content with this digest, whether or not it is there."""
    return store / sha256[:2] / sha256


def write_media_shards(rows: Iterable[Row], shards: Path, store: Path, shard_bytes: int) -> list[Row]:
    """Packs the stored media of `rows` into tar shards, in order of `video_id`; returns the rows with their places."""
    shutil.rmtree(shards, ignore_errors=True)
    shards.mkdir(parents=True)
    placed = []
    with ShardWriter(shards, "videos", shard_bytes) as writer:
        for row in sorted(rows, key=lambda row: row["video_id"]):
            ref = writer.add(row["video_id"], {"media": media_path(store, row["sha256"])})
            placed.append({**row, "shard": ref.shard, "offset": ref.offset, "size": ref.size})
    return placed


def media_file(row: Row, layout: Layout, store: Path) -> Path:
    """The media of a row of `videos` as a file: from the store, or taken out of its shard and checked.

    Raises `PassingError` `checksum` if the shard's bytes are not those that were fetched, `missing` without a shard.
    """
    path = media_path(store, row["sha256"])
    if path.exists() and path.stat().st_size == row["bytes"]:
        return path
    shard = inside(layout.shards("videos"), row["shard"])
    if not shard.is_file():
        raise PassingError("missing", f"video {row['video_id']}: {shard} is missing; run download again")
    with atomic_write(path) as temporary:
        with shard.open("rb") as source, temporary.open("wb") as target:
            source.seek(row["offset"])
            left = row["size"]
            while left and (block := source.read(min(left, 1 << 20))):
                target.write(block)
                left -= len(block)
        if sha256_file(temporary) != row["sha256"]:
            raise PassingError(
                "checksum", f"video {row['video_id']}: shard {row['shard']} is damaged; run download again"
            )
    return path
