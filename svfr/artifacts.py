"""Files that appear whole or not at all, digests of content, and the per-item cache.

A reader never sees a half-written file: everything is written beside its destination, flushed to disk
and renamed. The item cache is what makes a killed stage cheap to run again and an added video cost only itself.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svfr.errors import UserError


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hex digits. Raises `OSError` if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON-able value in canonical form (sorted keys, no spaces): the same value, the same digest."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode())


def short_id(value: Any) -> str:
    """The first 16 hex digits of `digest_of(value)`: the form of every id in the tables."""
    return digest_of(value)[:16]


def inside(root: Path, relative: str) -> Path:
    """`root / relative`, refused (`UserError`) if it is absolute or leaves `root`, symbolic links followed."""
    try:
        path = (root / relative).resolve()
        good = not Path(relative).is_absolute() and path.is_relative_to(root.resolve())
    except (ValueError, RuntimeError, OSError):  # a zero byte, a circle of links
        good = False
    if not good:
        raise UserError(f"path {relative!r} leaves its folder {root}: tables may only name files below it")
    return path


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns the operating system's write errors on `path` into one clear `UserError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UserError(
                f"disk full while writing {path} ({os.strerror(error.errno)}): "
                "free some space and run again; finished work is kept"
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise UserError(
                f"no permission to write {path}: choose another destination or change its rights"
            ) from error
        raise


@contextmanager
def atomic_write(path: Path, scratch: Path | None = None) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on leaving it is synced and renamed, on an exception removed.

    The temporary keeps the suffix, so that writers which choose a format by name work. A killed process leaves it; a
    caller who cleans up after such names a folder `scratch`, of the same file system, to hold it. Raises `UserError`
    when the disk is full or not writable.
    """
    temporary = (scratch or path.parent) / f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}"
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _sync(temporary)
            temporary.replace(path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: Path, scratch: Path | None = None) -> Iterator[Path]:
    """Yields a new temporary folder beside `path`; on leaving it takes the place of `path`, which may exist.

    `scratch` as in `atomic_write`.

    An old folder and the new one change places in one step where the file system can do that (Linux), so `path` is
    always one of them whole; elsewhere a process killed between two renames leaves `path` absent.
    """
    temporary = (scratch or path.parent) / f".{path.name}.{uuid.uuid4().hex[:8]}"
    old = temporary.with_name(temporary.name + ".old")
    try:
        with disk_errors(path):
            temporary.mkdir(parents=True)
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                temporary.replace(path)
            elif not _exchange(temporary, path):
                path.replace(old)
                temporary.replace(path)
            _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Lets two paths change places atomically; False where the system or the file system has no such call."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return int(renameat2(here, os.fsencode(first), here, os.fsencode(second), exchange)) == 0


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value that `write_json` wrote. Raises `OSError` or `ValueError`."""
    return json.loads(path.read_text(encoding="utf-8"))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class ItemCache:
    """Results of single items, addressed by what they were made from; one tar file an item.

    `key` must come from `digest_of` over everything the result depends on: the input's digest, the stage's code
    version and its parameters. The last member of an entry is the digest of the others: a damaged entry (a torn
    disk, not a killed process) reads as absent.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """Where the entry of `key` lies, whether or not it exists."""
        return self.root / key[:2] / f"{key}.tar"

    def open(self, key: str) -> Entry | None:
        """The entry of `key` after its digest was checked, or None; files are read when they are asked for."""
        try:
            with tarfile.open(self.path(key), "r:") as archive:
                places = {m.name: (m.offset_data, m.size) for m in archive.getmembers() if m.isfile()}
            entry = Entry(self.path(key), places)
            sealed = entry.places.pop(_SEAL, None)
            if sealed is None or entry.read(sealed) != _seal({name: entry.digest(name) for name in entry.places}):
                return None
        except (FileNotFoundError, tarfile.TarError):
            return None
        return entry

    def get(self, key: str) -> dict[str, bytes] | None:
        """The named byte strings stored under `key`, or None."""
        entry = self.open(key)
        return None if entry is None else dict(entry)

    def put(self, key: str, files: Mapping[str, bytes | Path]) -> None:
        """Stores named byte strings (or files, copied) under `key`, atomically; the last writer wins."""
        digests = {}
        with atomic_write(self.path(key)) as temporary, tarfile.open(temporary, "w") as archive:
            for name, data in sorted(files.items()):
                digests[name] = sha256_bytes(data) if isinstance(data, bytes) else sha256_file(data)
                _add(archive, name, data)
            _add(archive, _SEAL, _seal(digests))


@dataclass(frozen=True, eq=False)  # equal to any mapping of the same files
class Entry(Mapping[str, bytes]):
    """The named files of one item in the cache, each read from disk when it is asked for."""

    path: Path
    places: dict[str, tuple[int, int]]

    def __getitem__(self, name: str) -> bytes:
        return self.read(self.places[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def read(self, place: tuple[int, int]) -> bytes:
        """The bytes at (offset, size)."""
        with self.path.open("rb") as file:
            file.seek(place[0])
            return file.read(place[1])

    def digest(self, name: str) -> str:
        """SHA-256 of a file, read in blocks."""
        offset, left = self.places[name]
        found = hashlib.sha256()
        with self.path.open("rb") as file:
            file.seek(offset)
            while left and (block := file.read(min(left, 1 << 20))):
                found.update(block)
                left -= len(block)
        return found.hexdigest()


_SEAL = "sha256"


def _seal(digests: Mapping[str, str]) -> bytes:
    return digest_of(digests).encode()


def _add(archive: tarfile.TarFile, name: str, data: bytes | Path) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data) if isinstance(data, bytes) else data.stat().st_size
    with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as content:
        archive.addfile(member, content)
