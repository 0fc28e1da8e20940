"""`reports/curation.html`: how many sources and clips fell at which filter, the distributions, and examples.

Every picture is taken from the source again, in a process that a hostile file may take down without harm.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import cv2

from stages.curation_figures import funnel, histograms
from stages.entry import main
from stages.face_filters import FILTERS
from stages.layout import Layout
from stages.media import media_file, store_path
from stages.pages import CURATION, data_uri, environment
from stages.sources import read_sources
from svfr.artifacts import write_text
from svfr.errors import ItemError
from svfr.faces.crop import extract
from svfr.faces.geometry import Box
from svfr.params import Params
from svfr.tables import Row, read_table
from svfr.video.decode import read_frames
from svfr.video.isolate import run_isolated

KEPT = "kept"
_EXAMPLES = 6  # of each reason
_SIDE = 128  # pixels of a picture
_PLACE = ("video_id", "start_frame", "n_frames", "track_id", "crop_x1", "crop_y1", "crop_x2", "crop_y2")
_COLUMNS = list(dict.fromkeys(("clip_id", *_PLACE, *(each.column for each in FILTERS), "status", "reason")))


def run(params: Params, root: Path) -> None:
    """Writes `reports/curation.html`. Raises `UserError` if the faces stage has not run."""
    layout = Layout(root)
    clips = layout.read("clips", _COLUMNS)
    scores = layout.read("scores", ["clip_id", "metric", "mean", "kept"]) if layout.table("scores").exists() else []
    rejects = {name: _rejects(layout, name) for name in ("videos", "clips", "scores")}
    messages = {row["item_id"]: row["message"] for rows in rejects.values() for row in rows}
    low = {row["item_id"]: row["reason"] for row in rejects["scores"]}
    clips = [{**clip, "reason": clip["reason"] or low.get(clip["clip_id"], "")} for clip in clips]
    html = (
        environment()
        .get_template("curation.html")
        .render(
            funnel=funnel(len(read_sources(layout.sources)), rejects, _as_of_faces(clips, low), scores),
            histograms=histograms(clips, scores, params),
            examples=_examples(clips, messages, layout, store_path(params.engine)),
        )
    )
    page = layout.reports / CURATION
    write_text(page, html)
    print(f"curation: {page}")


def _as_of_faces(clips: list[Row], low: dict[str, str]) -> list[Row]:
    return [{**clip, "reason": ""} if clip["clip_id"] in low else clip for clip in clips]


def _rejects(layout: Layout, name: str) -> list[Row]:
    path = layout.rejects(name)
    return read_table(path, "rejects") if path.exists() else []


def _examples(
    clips: list[Row], messages: dict[str, str], layout: Layout, store: Path
) -> list[tuple[str, int, list[tuple[str, str]]]]:
    """(reason, how many clips, [(picture, text)]) for each reason, the kept ones first."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for clip in clips:
        groups[clip["reason"] or KEPT].append(clip)
    videos = {row["video_id"]: row for row in layout.read("videos")}
    order = [KEPT, *sorted(set(groups) - {KEPT}, key=lambda reason: (-len(groups[reason]), reason))]
    shown = []
    for reason in order:
        pictures = []
        for clip in _varied(groups[reason])[:_EXAMPLES]:
            video = videos[clip["video_id"]]
            text = messages.get(clip["clip_id"], Path(video["uri"]).name)
            pictures.append((_picture(clip, media_file(video, layout, store)), text))
        shown.append((reason, len(groups[reason]), pictures))
    return shown


def _varied(clips: list[Row]) -> list[Row]:
    """The clips in an order in which every video comes once before any comes twice."""
    rank: dict[str, int] = defaultdict(int)
    ranked: list[tuple[int, int, Row]] = []
    for clip in clips:
        ranked.append((rank[clip["video_id"]], len(ranked), clip))
        rank[clip["video_id"]] += 1
    return [clip for _, _, clip in sorted(ranked, key=lambda entry: entry[:2])]


def _picture(clip: Row, path: Path) -> str:
    """The clip's middle frame as a data URI; empty where it cannot be decoded any more."""
    crop = (clip["crop_x1"], clip["crop_y1"], clip["crop_x2"], clip["crop_y2"])
    try:
        png = run_isolated(thumbnail, path, clip["start_frame"] + clip["n_frames"] // 2, crop, timeout=120)
    except ItemError:
        return ""
    return data_uri(png)


def thumbnail(path: Path, number: int, crop: Box) -> bytes:
    """PNG of frame `number` of the video at `path` under the normalised `crop`. Raises what decoding raises."""
    for frame in read_frames(path, start=number, stop=number + 1):
        picture = extract(frame.rgb, crop, _SIDE)
        return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    raise ItemError("truncated", f"{path.name} has no frame {number}")


if __name__ == "__main__":
    main(run)
