"""Third-party weights on disk: fetched with resume, checked before every use, never replaced by something else.

They lie below the folder that the environment variable SVFR_WEIGHTS names, or `models/weights`. Digests that nobody
publishes are recorded in `digests.json` there at the first fetch, and hold from then on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from svfr.artifacts import atomic_write, inside, sha256_file, write_json
from svfr.errors import UserError, WeightsMissing
from svfr.transfer import Progress, download
from svfr.weight_list import WEIGHTS, Weight

RECORD = "digests.json"


@dataclass(frozen=True)
class State:
    """A file of the list as it is on disk: `state` is "ok", "missing" or "damaged"; `sha256` what is expected."""

    weight: Weight
    path: Path
    state: str
    sha256: str | None


def weights_folder() -> Path:
    """The folder below which all third-party files lie."""
    return Path(os.environ.get("SVFR_WEIGHTS") or Path("models") / "weights")


def weight_named(name: str) -> Weight:
    """The list's entry; raises `UserError` for an unknown name."""
    if name not in WEIGHTS:
        raise UserError(f"unknown weights '{name}': `svfr weights list` shows all names")
    return WEIGHTS[name]


def require(name: str) -> Path:
    """The path of a file that is there and intact.

    Raises `WeightsMissing` with the file, its source and the command if it is absent, and `UserError` if its digest
    is not the expected one. A file that was put there by hand has its digest recorded, if none is known.
    """
    weight, root = weight_named(name), weights_folder()
    path = inside(root, weight.file)
    if not path.is_file():
        raise WeightsMissing(
            f"{path} is missing ({weight.what}; licence: {weight.licence}): fetch it from {weight.url} "
            f"with `svfr weights get {name}`"
        )
    _check(weight, root, path)
    return path


def get(
    name: str | Weight,
    *,
    offline_folder: Path | None = None,
    root: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Puts a file in its place and returns its path; nothing is done if it is there and intact.

    From its source over http(s), continuing a broken download; or, with `offline_folder`, from a copy there, under
    its relative path or its bare name. Raises `UserError` if it cannot be had or has another digest; then whatever
    was there before stays.
    """
    weight = weight_named(name) if isinstance(name, str) else name
    root = weights_folder() if root is None else root
    path = inside(root, weight.file)
    if path.is_file() and _matches(weight, root, path):
        return path
    part = path.with_name(path.name + ".part")
    if offline_folder is None:
        download(weight.url, part, progress=progress)
    else:
        part.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_offline(weight, offline_folder), part)
    digest = sha256_file(part)
    if not _expected(weight, root, digest):
        part.unlink()
        raise UserError(
            f"{weight.file} from {offline_folder or weight.url} has SHA-256 {digest}, not the expected "
            f"{known_digest(weight, root) or (weight.sha256_prefix or '') + '...'}: it was changed or damaged"
        )
    with atomic_write(path) as temporary:
        part.replace(temporary)
    _record(weight, root, digest)
    return path


def verify(names: Iterable[str] | None = None, *, root: Path | None = None) -> list[State]:
    """The state of the named files (default: all); reads every file that is there in full."""
    root = weights_folder() if root is None else root
    states = []
    for weight in map(weight_named, WEIGHTS if names is None else names):
        path = inside(root, weight.file)
        state = "missing"
        if path.is_file():
            state = "ok" if _expected(weight, root, sha256_file(path)) else "damaged"
        states.append(State(weight, path, state, known_digest(weight, root)))
    return states


def known_digest(weight: Weight, root: Path) -> str | None:
    """The SHA-256 that the file must have: the published one, or that of its first fetch into `root`; else None."""
    return weight.sha256 or _recorded(root).get(weight.file)


def import_official(unet: Path, id_linear: Path, arcface: Path, svd_folder: Path, out: Path) -> dict[str, Any]:
    """Turns the released files into one model folder; see `svfr.models.official.import_official`."""
    from svfr.models import official

    return official.import_official(unet, id_linear, arcface, svd_folder, out)


def import_stc(checkpoint: Path, out: Path) -> dict[str, Any]:
    """Turns a released BFVR-STC checkpoint into a model folder; see `svfr.models.stc.folder.import_stc`."""
    from svfr.models.stc import folder

    return folder.import_stc(checkpoint, out)


def _offline(weight: Weight, folder: Path) -> Path:
    for candidate in (folder / weight.file, folder / Path(weight.file).name):
        if candidate.is_file():
            return candidate
    raise UserError(f"{Path(weight.file).name} is not in {folder}: copy it there from {weight.url}")


def _check(weight: Weight, root: Path, path: Path) -> None:
    stat = path.stat()
    digest = _digest(path, stat.st_size, stat.st_mtime_ns)
    if not _expected(weight, root, digest):
        raise UserError(
            f"{path} has SHA-256 {digest}, not the expected one: it was changed or damaged; remove it and run "
            f"`svfr weights get {weight.name}`"
        )
    if known_digest(weight, root) is None:
        _record(weight, root, digest)


def _matches(weight: Weight, root: Path, path: Path) -> bool:
    try:
        _check(weight, root, path)
    except UserError:
        return False
    return True


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    """Digest of a file, read once per process for as long as its size and time stay."""
    return sha256_file(path)


def _expected(weight: Weight, root: Path, digest: str) -> bool:
    known = known_digest(weight, root)
    return digest == known if known else digest.startswith(weight.sha256_prefix or "")


def _recorded(root: Path) -> dict[str, str]:
    try:
        record = json.loads((root / RECORD).read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("no table of digests")
        return record
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(f"{root / RECORD} is damaged ({error}): remove it, and run `svfr weights verify`") from error


def _record(weight: Weight, root: Path, digest: str) -> None:
    if known_digest(weight, root) is None:
        write_json(root / RECORD, {**_recorded(root), weight.file: digest})
