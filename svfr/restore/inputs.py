"""What one run is to restore: a folder, a list of paths, or a manifest with options of its own in every row."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from svfr.artifacts import inside
from svfr.errors import UserError
from svfr.restore.names import inputs_of, parse_reference

LISTS = (".txt", ".lst")
MANIFESTS = (".csv", ".parquet")
_PATH_COLUMNS = ("path", "uri", "file")


@dataclass(frozen=True)
class Input:
    """One file to restore. `name` is unique in the run; `output` is a path below the run's folder, or empty.

    `changes` are fields of `RestoreOptions` that this input has for itself.
    """

    path: Path
    name: str
    output: str = ""
    changes: dict[str, Any] = field(default_factory=dict)


def is_collection(source: Path) -> bool:
    """Whether `source` names many inputs instead of being one."""
    return source.is_dir() or source.suffix.lower() in LISTS + MANIFESTS


def read_inputs(source: Path) -> list[Input]:
    """The inputs of a folder, a list (`.txt`: a path a line, `#` begins a remark) or a manifest (`.csv`, `.parquet`).

    A manifest has a column path (or uri, or file) and, as wished, output, tasks (`bfr,color`), auto, mask, and
    reference (several by `;`). Paths are relative to the file that names them; a manifest's must stay below its folder.
    Inputs of equal names are told apart by their folder's. Raises `UserError` for a file that cannot be read, is empty,
    or names something twice.
    """
    if source.is_dir():
        found = [Input(path, path.name) for path in inputs_of(source)]
    elif not source.is_file():
        raise UserError(f"{source}: no such file or folder")
    elif source.suffix.lower() in LISTS:
        found = [Input(source.parent / line, Path(line).name) for line in _lines(source)]
    else:
        found = [_of_row(source, row) for row in _rows(source)]
    if not found:
        raise UserError(f"{source}: names no input")
    names = Counter(item.name for item in found)
    found = [item if names[item.name] == 1 else replace(item, name=_longer(item.path)) for item in found]
    twice = [name for name, count in Counter(item.name for item in found).items() if count > 1]
    if twice:
        raise UserError(f"{source}: names {twice[0]} more than once; leave one out, or rename its folder")
    return found


def _longer(path: Path) -> str:
    return f"{path.resolve().parent.name}__{path.name}"


def _lines(source: Path) -> Iterator[str]:
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: cannot be read as a list of paths ({error})") from None
    lines = (line.strip() for line in text.splitlines())
    return (line for line in lines if line and not line.startswith("#"))


def _rows(source: Path) -> list[dict[str, Any]]:
    try:
        if source.suffix.lower() == ".csv":
            with source.open(encoding="utf-8", newline="") as file:
                return list(csv.DictReader(file))
        import pyarrow.parquet as pq

        rows: list[dict[str, Any]] = pq.read_table(source).to_pylist()
        return rows
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise UserError(f"{source}: cannot be read as a manifest ({str(error).splitlines()[0]})") from None


def _of_row(source: Path, row: dict[str, Any]) -> Input:
    root = source.resolve().parent
    named = next((str(row[column]) for column in _PATH_COLUMNS if row.get(column)), "")
    if not named:
        raise UserError(f"{source}: a row without a path: the manifest needs a column path, uri or file")
    changes: dict[str, Any] = {}
    if row.get("tasks"):
        changes["tasks"] = [task.strip() for task in str(row["tasks"]).split(",")]
    if row.get("auto"):
        changes["auto"] = row["auto"]
    if mask := row.get("mask"):
        changes["mask"] = mask if mask.startswith("box:") else str(inside(root, mask))
    if references := row.get("reference"):
        changes["reference"] = [_below(root, text.strip()) for text in references.split(";")]
    return Input(inside(root, named), Path(named).name, str(row.get("output") or ""), changes)


def _below(root: Path, reference: str) -> str:
    number, path = parse_reference(reference)
    return str(inside(root, str(path))) if number is None else f"{number}={inside(root, str(path))}"
