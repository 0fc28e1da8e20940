"""Turns what the user names (a folder, a list, a single video) into `data/sources.csv`, the pipeline's one input.

Local files are listed with their digest, so a changed file re-runs what depends on it and nothing else.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stages.fetch import PAGES, SCHEMES
from stages.layout import Layout
from svfr.artifacts import sha256_file, write_text
from svfr.errors import UserError
from svfr.sources.celebvtext import list_celebvtext
from svfr.sources.entry import Source, read_text, refused, text_lines
from svfr.sources.fragment import exists, split_uri
from svfr.sources.hub import list_hub
from svfr.sources.vfhq import list_vfhq
from svfr.sources.voxceleb2 import list_voxceleb2
from svfr.sources.youtube import canonical

COLUMNS = ("uri", "sha256", "licence", "source_dataset")
DATASETS: dict[str, Callable[[Path], list[Source]]] = {
    "vfhq": list_vfhq,
    "celebvtext": list_celebvtext,
    "voxceleb2": list_voxceleb2,
}


def write_sources(given: str, root: Path) -> list[Source]:
    """Writes the list below `root` and returns it, sorted by URI; files below `root` are named relative to it.

    `given` (relative to `root`): a folder (its `sources.csv` if it has one, else every file below it), a `.csv` with a
    column `uri`, a `.txt` with one path or URI a line, one video or its address, a folder of the Hugging Face Hub
    (`hf://datasets/OWNER/NAME[@REVISION][/FOLDER]`), or the published list of a data set: `vfhq:FOLDER`,
    `celebvtext:FILE`, `voxceleb2:FOLDER`. Whatever cannot be a source is listed with the reason, which the download
    stage turns into a reject. Raises `UserError` if `given` is empty, does not exist, is not of its kind or lists
    nothing.
    """
    if not given.strip():
        raise UserError("no sources are named: give a folder, a list, a video or its address (--sources)")
    sources = _sources(given, root)
    if not sources:
        raise UserError(f"'{given}' lists no videos: put videos there, or name another place")
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


def _sources(given: str, root: Path) -> list[Source]:
    path = root / given
    kind, colon, rest = given.partition(":")
    there = exists(path)
    if not there and colon and kind in DATASETS:
        if not exists(root / rest):
            raise UserError(f"no {kind} list at '{rest}': name the folder or file that the data set gives")
        return DATASETS[kind](root / rest)
    if not there and given.startswith("hf://"):
        return list_hub(given)
    names = _Names(root)
    if there and path.is_dir():
        listed = path / "sources.csv"
        return _from_csv(listed, names) if listed.exists() else list(_from_folder(path, names))
    if there and path.suffix == ".csv":
        return _from_csv(path, names)
    if there and path.suffix == ".txt":
        lines = [(number, line.strip()) for number, line in enumerate(text_lines(path), 1)]
        wanted = [(number, line) for number, line in lines if line and not line.startswith("#")]
        return [names.entry(line, path.parent, f"{path.name}, line {number}") for number, line in wanted]
    base, _ = split_uri(given, root)
    if urlsplit(base).scheme in SCHEMES or exists(root / base):
        return [names.entry(given, root, "--sources")]
    raise UserError(
        f"no sources at '{given}': name a folder of videos, a .csv or .txt list, a video, "
        f"hf://datasets/OWNER/NAME, or one of {', '.join(f'{name}:PATH' for name in DATASETS)}"
    )


def _from_folder(folder: Path, names: _Names) -> Iterator[Source]:
    """Every file below `folder` but hidden ones and lists of sources; what is not a file of its own is refused."""
    inside = folder.resolve()
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if any(part.startswith(".") for part in place.parts) or path.name == "sources.csv":
            continue
        if path.is_symlink() and not _leads_into(path, inside):
            yield refused("outside", f"'{place}' is a link out of the folder '{folder.name}': copy the file into it")
        elif path.is_symlink() or path.is_file():
            if not path.is_dir():
                yield names.local(path)
        elif not path.is_dir():
            yield refused("not_a_video", f"'{place}' is neither a file nor a folder: remove it")


def _leads_into(link: Path, folder: Path) -> bool:
    try:
        return link.resolve().is_relative_to(folder)
    except (OSError, RuntimeError):  # a circle of links
        return False


def _from_csv(path: Path, names: _Names) -> list[Source]:
    table = csv.DictReader(io.StringIO(read_text(path), newline=""))
    found = []
    for row in table:
        if "uri" not in row:
            raise UserError(f"{path} has no column 'uri'; its columns are {', '.join(table.fieldnames or ())}")
        if row["uri"]:
            found.append(names.entry(row["uri"], path.parent, f"{path.name}, line {table.line_num}", row))
    return found


class _Names:
    """Makes the one name that a source has in the list, and reads every local file's digest once."""

    def __init__(self, root: Path) -> None:
        self.root, self.here = root, root.resolve()
        self.digest = cache(sha256_file)

    def entry(self, uri: str, folder: Path, place: str, row: dict[str, str] | None = None) -> Source:
        """The source that a list names in `place`, with the columns of `row`; refused if its address is malformed."""
        extra = {key: (row or {}).get(key) or "" for key in COLUMNS[1:]}
        try:
            base, part = split_uri(uri, folder)
            suffix = uri[len(base) :]  # the fragment as it was written
            scheme = urlsplit(base).scheme
            if scheme in ("", "file") or (scheme not in SCHEMES and exists(folder / base)):
                local = Path(unquote(urlsplit(base).path)) if scheme == "file" else Path(base)
                return self.local(folder / local, extra, suffix)
            base = canonical(base)
        except ValueError as error:  # also what urlsplit says of an address that is none
            return refused("bad_entry", f"{place}: '{uri}': {error}", extra["source_dataset"])
        if part is not None and part.pixels and urlsplit(base).scheme in PAGES:
            why = "pixels mean nothing where the size depends on what is fetched; write xywh=percent:"
            return refused("bad_entry", f"{place}: '{uri}': {why}", extra["source_dataset"])
        return {"uri": base + suffix, **extra}

    def local(self, path: Path, extra: dict[str, str] | None = None, suffix: str = "") -> Source:
        """The source that a local file is, or the part of it that `suffix`, with its `#`, names.

        Raises `UserError` for a name that is not UTF-8.
        """
        resolved = path.resolve()
        below = resolved.is_relative_to(self.here)
        uri = resolved.relative_to(self.here).as_posix() if below else resolved.as_posix()
        try:
            uri.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"the file name {uri!r} is not UTF-8: rename the file") from error
        found = extra or dict.fromkeys(COLUMNS[1:], "")
        digest = found["sha256"] or (self.digest(resolved) if resolved.is_file() else "")
        return {**found, "uri": uri + suffix, "sha256": digest}
