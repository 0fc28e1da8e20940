"""What became of every source, from the tables of all stages; a stage that has not run yet leaves its part open."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from stages.layout import Layout
from stages.sources import read_sources
from svfr.artifacts import short_id
from svfr.tables import Row, read_table

USED, REFUSED, OPEN = "used", "refused", "open"
_MAKERS = {"videos": "download", "clips": "faces", "scores": "score", "pairs": "degrade", "latents": "encode"}


@dataclass
class ClipFate:
    """One face clip of a source: `state` used, refused or open; `what` says which split, or why not."""

    clip_id: str
    frames: str
    state: str
    what: str


@dataclass
class Fate:
    """One source. `state` is used (something of it was learned from or measured), refused or open."""

    uri: str
    state: str
    what: str
    video: Row | None = None
    clips: list[ClipFate] = field(default_factory=list)


@dataclass(frozen=True)
class Tables:
    """Every table that exists, and all rejects."""

    sources: list[str]
    rows: dict[str, list[Row]]
    rejects: dict[str, list[Row]]

    @classmethod
    def read(cls, layout: Layout) -> Tables:
        """Reads what there is. A table that is not there yet is left out of `rows`."""
        names = [*_MAKERS, "results"]
        rows = {name: layout.read(name) for name in names if layout.table(name).exists()}
        rejects = {name: _rejects(layout.rejects(name)) for name in names}
        if layout.sources.exists():
            sources = [source["uri"] for source in read_sources(layout.sources)]
        else:
            sources = [row["uri"] for row in rows.get("videos", [])]
        return cls(sources, rows, rejects)

    def refusals(self) -> list[tuple[str, str, int]]:
        """(stage, reason, count), in order of the stages, most frequent first."""
        counts = Counter((row["stage"], row["reason"]) for rows in self.rejects.values() for row in rows)
        order = list(_MAKERS.values())
        place = {stage: number for number, stage in enumerate(order)}
        keys = sorted(counts, key=lambda key: (place.get(key[0], len(order)), -counts[key], key))
        return [(stage, reason, counts[stage, reason]) for stage, reason in keys]


def fates(tables: Tables) -> list[Fate]:
    """One entry a source, in the order of the list; none is left out."""
    videos = {row["uri"]: row for row in tables.rows.get("videos", [])}
    refused = {row["item_id"]: row for name in ("videos", "clips") for row in tables.rejects[name]}
    clips: dict[str, list[Row]] = defaultdict(list)
    for clip in tables.rows.get("clips", []):
        clips[clip["video_id"]].append(clip)
    judge = _ClipJudge(tables)
    found = []
    for uri in tables.sources:
        video = videos.get(uri)
        if video is None:
            row = refused.get(short_id(uri))
            found.append(Fate(uri, REFUSED, _why(row)) if row else Fate(uri, OPEN, "not fetched yet"))
            continue
        own = [
            judge(clip) for clip in sorted(clips[video["video_id"]], key=lambda c: (c["track_id"], c["start_frame"]))
        ]
        found.append(_of_video(uri, video, own, refused.get(video["video_id"]), "clips" in tables.rows))
    return found


def _of_video(uri: str, video: Row, clips: list[ClipFate], refused: Row | None, scanned: bool) -> Fate:
    if refused is not None:
        return Fate(uri, REFUSED, _why(refused), video, clips)
    used = [clip for clip in clips if clip.state == USED]
    if used:
        others = len(clips) - len(used)
        text = f"{len(used)} clip{'s' * (len(used) != 1)} used" + (f", {others} refused" if others else "")
        return Fate(uri, USED, text, video, clips)
    if clips and all(clip.state == REFUSED for clip in clips):
        reasons = Counter(clip.what.split(":")[0] for clip in clips)
        text = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
        return Fate(uri, REFUSED, f"every clip refused: {text}", video, clips)
    if scanned and not clips:
        return Fate(uri, REFUSED, "no clip came out of it", video, clips)
    return Fate(uri, OPEN, "waits for the next stage", video, clips)


class _ClipJudge:
    """Follows one clip through scoring and splitting."""

    def __init__(self, tables: Tables) -> None:
        self.rejects = {
            row["item_id"]: row for name in ("clips", "scores", "pairs", "latents") for row in tables.rejects[name]
        }
        self.pairs: dict[str, list[Row]] = defaultdict(list)
        for pair in tables.rows.get("pairs", []):
            self.pairs[pair["clip_id"]].append(pair)

    def __call__(self, clip: Row) -> ClipFate:
        span = f"{clip['start_frame']}-{clip['start_frame'] + clip['n_frames'] - 1}"
        reject, pairs = self.rejects.get(clip["clip_id"]), self.pairs[clip["clip_id"]]
        if reject is not None:
            return ClipFate(clip["clip_id"], span, REFUSED, _why(reject))
        if clip["status"] != "kept":
            return ClipFate(clip["clip_id"], span, REFUSED, clip["reason"])
        if pairs:
            text = f"{pairs[0]['split']}, {len(pairs)} degraded view{'s' * (len(pairs) != 1)}"
            return ClipFate(clip["clip_id"], span, USED, text)
        return ClipFate(clip["clip_id"], span, OPEN, "kept")


def _why(row: Row) -> str:
    return f"{row['reason']}: {row['message']}" if row["message"] else row["reason"]


def _rejects(path: Path) -> list[Row]:
    return read_table(path, "rejects") if path.exists() else []
