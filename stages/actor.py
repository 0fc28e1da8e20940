"""What happens inside a Ray worker process: one item after the other is worked on and stored.

The item cache holds what came of an item, a refusal included; the driver gets no more than a reason.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from svfr.artifacts import ItemCache
from svfr.errors import ItemError, PassingError, UserError
from svfr.tables import Row


@dataclass(frozen=True)
class Item:
    """One unit of work: `id` names it in tables, `fingerprint` is everything its result depends on, JSON-able.

    The worker gets `payload` with one key more: `scratch`, a folder that is its own until the result is stored.
    """

    id: str
    fingerprint: Any
    payload: dict[str, Any]


def clip_fingerprint(clip: Row, *read: str) -> Row:
    """What a result depends on that is made from a stored clip: its id, its media's digest, and the columns `read`."""
    return {name: clip[name] for name in ("clip_id", "sha256", *read)}


@dataclass(frozen=True)
class Result:
    """What a worker makes of one item: table rows, named media files, and rejects of parts of the item.

    `large` are files that the worker has on disk, so as not to hold them all; they come back among `files`, each read
    from the cache when it is asked for.
    """

    rows: list[Row] = field(default_factory=list)
    files: Mapping[str, bytes] = field(default_factory=dict)
    rejects: list[Row] = field(default_factory=list)
    large: Mapping[str, Path] = field(default_factory=dict)


Worker = Callable[[dict[str, Any]], Result]
RESULT = "result.json"  # the name of rows and rejects, or of a refusal, in an item's cache entry


class Actor:
    """Lives in a Ray worker process. Knows its worker and the cache."""

    def __init__(self, build: Callable[[], Worker], cache: ItemCache, scratch: Path, memory: int) -> None:
        self.cache, self.scratch, self.memory = cache, scratch, memory
        self.worker: Worker | None = None
        self.build = build

    def load(self) -> None:
        """Builds the worker; its errors are those of the run, not of an item. Then bounds what items may add."""
        self.worker = self.build()
        if self.memory and sys.platform == "linux":
            limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + self.memory
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def run(self, item: Item, key: str) -> tuple[str, str] | None:
        """Executes one item; returns None or (reason, message). Refusals are cached, surprises are not."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as scratch:
            return self._run(item, key, scratch)

    def _run(self, item: Item, key: str, scratch: str) -> tuple[str, str] | None:
        assert self.worker is not None
        try:
            result = self.worker({**item.payload, "scratch": scratch})
            meta = json.dumps({"rows": result.rows, "rejects": result.rejects}, allow_nan=False)
        except ItemError as error:
            if not isinstance(error, PassingError):
                self.cache.put(key, {RESULT: json.dumps({"error": (error.code, str(error))}).encode()})
            return error.code, str(error)
        except UserError:
            raise
        except MemoryError:
            return "out_of_memory", "needs more memory than engine.item_memory allows"
        except Exception as error:
            return "error", f"{type(error).__name__}: {error}"
        self.cache.put(key, {**result.files, **result.large, RESULT: meta.encode()})
        return None
