"""The parts that the list of sources names of one video: fetched once, each cut from it and described as a row."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from stages.fetch import fetch, local_path
from stages.media import media_path
from svfr.artifacts import digest_of, sha256_file, short_id
from svfr.errors import ItemError, UserError
from svfr.params import DownloadParams
from svfr.sources.entry import Source, refusal
from svfr.sources.fragment import Fragment, split_uri
from svfr.tables import Row
from svfr.video.cut import Cutter
from svfr.video.probe import Limits, probe

Group = dict[str, Any]  # uri (without fragment), sha256, members: the sources that name parts of it


def group_sources(sources: Iterable[Source]) -> dict[str, Group]:
    """The sources by the file they are parts of, each group under an id of its own; refused ones are left out."""
    groups: dict[str, Group] = {}
    for source in sources:
        if refusal(source["uri"]) is not None:
            continue
        try:
            base, _ = split_uri(source["uri"])
        except UserError:  # said when its turn comes, for this source alone
            base = source["uri"]
        group = {"uri": base, "sha256": source["sha256"], "members": []}
        groups.setdefault(short_id([base, source["sha256"]]), group)["members"].append(source)
    return groups


class Parts:
    """Context manager over one group: `make` gives the row of a member; the file is fetched when it is first needed.

    A file of which only ranges are wanted is removed at the end, and what a broken transfer has brought of it is kept.
    """

    def __init__(self, group: Group, store: Path, params: DownloadParams) -> None:
        self.group, self.store, self.params = group, store, params
        self.limits = Limits(params.max_pixels, params.max_duration, params.max_bytes)
        self.passing = store / "whole" / digest_of([group["uri"], group["sha256"]])[:32]
        self._whole: Path | None = None
        self._cutter: Cutter | None = None

    def __enter__(self) -> Parts:
        fragments = [_fragment_of(member) for member in self.group["members"]]
        known = [fragment for fragment in fragments if not isinstance(fragment, UserError)]
        if known:
            keep = any(fragment is None or fragment.start is None for fragment in known)
            folder = self.store if keep else self.passing
            self._whole = fetch(self.group["uri"], self.group["sha256"], folder, self.params)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.passing, ignore_errors=True)

    def make(self, member: Source) -> Row:
        """The row of `member`; its media is in the store then. Raises `ItemError` if this part cannot be used."""
        fragment = _fragment_of(member)
        if isinstance(fragment, UserError):
            raise ItemError("bad_entry", str(fragment))
        assert self._whole is not None
        if fragment is None or fragment.start is None:
            return _describe(member, self._whole, self._whole.name, fragment or Fragment(), self.limits)
        self._cutter = self._cutter or Cutter(self._whole, self.limits)
        part = self.passing / "part.mp4"
        self._cutter.cut(fragment.start, fragment.end, part)
        row = _describe(member, part, sha256_file(part), fragment, self.limits)
        target = media_path(self.store, row["sha256"])
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        return row


def make_again(row: Row, group: Group, store: Path, params: DownloadParams) -> None:
    """Puts the media of `row` back into the store. Raises `ItemError`, also if its source gives another file now."""
    member = next(source for source in group["members"] if source["uri"] == row["uri"])
    expected = row["sha256"] if row["range_start"] is None else group["sha256"]
    with Parts({**group, "sha256": expected, "members": [member]}, store, params) as parts:
        if parts.make(member)["sha256"] != row["sha256"]:
            raise ItemError("checksum", f"'{row['uri']}' is another file than it was: clear the item cache")


def _fragment_of(source: Source) -> Fragment | UserError | None:
    try:
        return split_uri(source["uri"])[1]
    except UserError as error:
        return error


def _describe(source: Source, path: Path, sha256: str, part: Fragment, limits: Limits) -> Row:
    info = probe(path, limits)
    region = part.region(info.width, info.height)
    local = local_path(split_uri(source["uri"])[0])
    there = local is not None and local.exists()
    modified = datetime.fromtimestamp(local.stat().st_mtime, UTC) if local and there else datetime.now(UTC)
    return {
        "video_id": sha256[:16] if region is None else short_id([sha256, region]),
        "uri": source["uri"],
        "sha256": sha256,
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
        "region": region,
        "range_start": part.start,
        "range_end": part.end,
        "fetched_at": modified.isoformat(timespec="seconds"),
    }
