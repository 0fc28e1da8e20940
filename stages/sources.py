"""Turns what the user names (a folder, a list, a single video) into `data/sources.csv`, the pipeline's one input.

Local files are listed with their digest, so a changed file re-runs what depends on it and nothing else.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stages.layout import Layout
from svfr.artifacts import sha256_file, write_text
from svfr.errors import UserError

COLUMNS = ("uri", "sha256", "licence", "source_dataset")
VIDEO_SUFFIXES = frozenset(
    (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp", ".ogv")
)
Source = dict[str, str]


def write_sources(given: str, root: Path) -> list[Source]:
    """Writes the list below `root` and returns it, sorted by URI; files below `root` are named relative to it.

    `given` (relative to `root`): a folder (its `sources.csv` if it has one, else every video file below it), a `.csv`
    with a column `uri`, a `.txt` with one path or URI a line, or one video. Raises `UserError` if it does not exist or
    lists nothing.
    """
    path = root / given
    if path.is_dir():
        listed = path / "sources.csv"
        sources = _from_csv(listed, root) if listed.exists() else [_local(file, root) for file in _videos(path)]
    elif not path.exists():
        raise UserError(f"no sources at '{given}': name a folder of videos, a .csv or .txt list, or a video")
    elif path.suffix == ".csv":
        sources = _from_csv(path, root)
    elif path.suffix == ".txt":
        lines = [line.strip() for line in _read(path).splitlines()]
        sources = [_entry(line, path.parent, root) for line in lines if line and not line.startswith("#")]
    else:
        sources = [_local(path, root)]
    if not sources:
        kinds = " ".join(sorted(VIDEO_SUFFIXES))
        raise UserError(f"'{given}' lists no videos: put files ending in {kinds} there, or name another place")
    unique = {source["uri"]: source for source in sources}
    ordered = [unique[uri] for uri in sorted(unique)]
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(ordered)
    target = Layout(root).sources
    if not target.exists() or target.read_text(encoding="utf-8") != text.getvalue():
        write_text(target, text.getvalue())
    return ordered


def read_sources(path: Path) -> list[Source]:
    """Reads `data/sources.csv`. Raises `UserError` if it is missing, has other columns or is empty."""
    if not path.exists():
        raise UserError(f"{path} is missing: make it with 'python -m flows.dataset --sources FOLDER'")
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        if tuple(table.fieldnames or ()) != COLUMNS:
            raise UserError(f"{path} has the columns {table.fieldnames}, expected {', '.join(COLUMNS)}")
        rows = list(table)
    if not rows:
        raise UserError(f"{path} is empty: name sources with 'python -m flows.dataset --sources FOLDER'")
    return rows


def _videos(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*")) if file.is_file() and file.suffix.lower() in VIDEO_SUFFIXES]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from error


def _from_csv(path: Path, root: Path) -> list[Source]:
    rows = list(csv.DictReader(io.StringIO(_read(path), newline="")))
    if rows and "uri" not in rows[0]:
        raise UserError(f"{path} has no column 'uri'; its columns are {', '.join(rows[0])}")
    return [_entry(row["uri"], path.parent, root, row) for row in rows if row["uri"]]


def _entry(uri: str, folder: Path, root: Path, row: dict[str, str] | None = None) -> Source:
    extra = {key: (row or {}).get(key) or "" for key in COLUMNS[1:]}
    if urlsplit(uri).scheme in ("", "file"):
        local = Path(unquote(urlsplit(uri).path) if uri.startswith("file:") else uri)
        return _local(folder / local, root, extra)
    return {"uri": uri, **extra}


def _local(path: Path, root: Path, extra: dict[str, str] | None = None) -> Source:
    resolved, here = path.resolve(), root.resolve()
    uri = resolved.relative_to(here).as_posix() if resolved.is_relative_to(here) else resolved.as_posix()
    try:
        uri.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"the file name {uri!r} is not UTF-8: rename the file") from error
    found = extra or dict.fromkeys(COLUMNS[1:], "")
    digest = found["sha256"] or (sha256_file(path) if path.is_file() else "")
    return {**found, "uri": uri, "sha256": digest}
