"""WebDataset tar shards with random access: a clip is addressed by shard, offset and size."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from svfr.artifacts import atomic_write, inside
from svfr.errors import PassingError, UserError

_BLOCK = tarfile.BLOCKSIZE  # one USTAR header


@dataclass(frozen=True)
class ShardRef:
    """Where bytes lie: `shard` is the tar file's name below its root, `offset` that of the first byte of content."""

    shard: str
    offset: int
    size: int


class ShardWriter:
    """Context manager that packs samples into `root/prefix-000000.tar` and so on, each at most `max_bytes` long.

    The layout depends on nothing but the order of `add`: headers carry no time, owner or machine. A shard appears
    when it is full or the block ends; after an exception the unfinished one does not.
    """

    def __init__(self, root: Path, prefix: str, max_bytes: int) -> None:
        self.root, self.prefix, self.max_bytes = root, prefix, max_bytes
        self.shards: list[str] = []
        self._tar: tarfile.TarFile | None = None
        self._stack = ExitStack()
        self._keys: set[str] = set()

    def __enter__(self) -> ShardWriter:
        return self

    def add(self, key: str, files: Mapping[str, bytes | Path]) -> ShardRef:
        """Stores `files` (extension to bytes or to a file to copy) as `key.extension`; says where the first lies.

        A sample is never split over two shards; one larger than `max_bytes` gets a shard of its own. Raises
        `UserError` for a key that was used before or that WebDataset would split (`.` or `/` in it).
        """
        if key in self._keys or not key or "." in key or "/" in key or not files:
            raise UserError(f"shard key '{key}' is empty, used twice, without files, or holds '.' or '/'")
        self._keys.add(key)
        needed = sum(_BLOCK + -(-_length(data) // _BLOCK) * _BLOCK for data in files.values())
        if self._tar is not None and self._tar.offset + needed + 2 * _BLOCK > self.max_bytes:
            self._finish()
        tar = self._tar or self._start()
        refs = []
        for extension, data in files.items():
            member = tarfile.TarInfo(f"{key}.{extension}")
            member.size = _length(data)
            refs.append(ShardRef(self.shards[-1], tar.offset + _BLOCK, member.size))
            with data.open("rb") if isinstance(data, Path) else io.BytesIO(data) as content:
                tar.addfile(member, content)
        return refs[0]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar = None
        self._stack.__exit__(kind, error, trace)

    def _start(self) -> tarfile.TarFile:
        self.shards.append(f"{self.prefix}-{len(self.shards):06d}.tar")
        temporary = self._stack.enter_context(atomic_write(self.root / self.shards[-1]))
        tar = self._stack.enter_context(tarfile.TarFile(temporary, "w", format=tarfile.USTAR_FORMAT))
        self._tar = tar
        return tar

    def _finish(self) -> None:
        self._tar = None
        self._stack.close()


def _length(data: bytes | Path) -> int:
    return data.stat().st_size if isinstance(data, Path) else len(data)


def read_member(root: Path, shard: str, offset: int, size: int) -> bytes:
    """The `size` bytes at `offset` of `root/shard`.

    Raises `UserError` if `shard` leaves `root`, `PassingError` `unreadable` if the shard is missing or too short.
    """
    path = inside(root, shard)
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
    except (OSError, ValueError) as error:
        raise PassingError("unreadable", f"shard {shard} cannot be read at byte {offset} ({error})") from error
    if len(data) != size:
        raise PassingError("unreadable", f"shard {shard} ends before byte {offset + size}: make it again (dvc repro)")
    return data
