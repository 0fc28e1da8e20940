"""Progress of long work: one updating line on a terminal, one plain line every few seconds elsewhere."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType


class Progress:
    """Counts items and prints `label done/total, rate, time left` to standard error.

    `total` may be 0 when nothing is to be done; `unit` names what is counted. Use as a context manager, so that the
    last state is always printed.
    """

    def __init__(self, label: str, total: int, unit: str = "items", every: float = 2.0) -> None:
        self.label, self.total, self.unit, self.every = label, total, unit, every
        self.done = 0
        self._start = time.monotonic()
        self._printed = -math.inf  # the clock may be near 0, on a machine that has just started
        self._terminal = sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._print(final=True)

    def __call__(self, done: int, total: int) -> None:
        """Sets the absolute state: the form that library functions take as `progress`."""
        self.total = total
        self.advance(done - self.done)

    def advance(self, count: int = 1, note: str = "") -> None:
        """Adds `count` finished items; `note` is shown behind the figures."""
        self.done += count
        now = time.monotonic()
        if now - self._printed >= (0.2 if self._terminal else self.every):
            self._printed = now
            self._print(note=note)

    def _print(self, note: str = "", final: bool = False) -> None:
        seconds = max(time.monotonic() - self._start, 1e-9)
        rate = self.done / seconds
        left = f", {(self.total - self.done) / rate:.0f} s left" if rate > 0 and not final else ""
        text = (
            f"{self.label}: {self.done}/{self.total} {self.unit}, {rate:.2f}/s, {seconds:.0f} s{left} {note}".rstrip()
        )
        end = "\n" if final or not self._terminal else ""
        lead = "\r\x1b[K" if self._terminal else ""
        print(f"{lead}{text}", end=end, file=sys.stderr, flush=True)
