"""Shows the progress of training workers and hands their figures on, by reading what rank 0 writes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from svfr.progress import Progress
from svfr.training.history import Row, read_history

EVERY = 2.0  # seconds between two looks


class Follower:
    """Watches `<folder>/metrics.jsonl` in a thread while the `with` block runs; `send` gets all rows each time."""

    def __init__(self, name: str, folder: Path, steps: int, send: Callable[[list[Row]], None]) -> None:
        self.name, self.folder, self.steps, self.send = name, folder, steps, send
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        with Progress(self.name, self.steps, "steps") as progress:
            progress.advance(0, note="starting workers")
            while not self._done.wait(EVERY):
                self._look(progress)
            self._look(progress)

    def _look(self, progress: Progress) -> None:
        rows = read_history(self.folder)
        if rows and rows[-1]["step"] > progress.done:
            progress.advance(
                int(rows[-1]["step"]) - progress.done, note=f"loss {rows[-1].get('loss', float('nan')):.4f}"
            )
            self.send(rows)
