"""Where the time of a file goes: in the network, or around it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Clock:
    """Seconds spent in the network, on its own work only: what it waits for its input is not counted."""

    network: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Counts the block as the network's."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.network += time.monotonic() - began

    def waiting(self, items: Iterator[T]) -> Iterator[T]:
        """`items`; the time that it takes to make them, within a `running` block, is taken off again."""
        while True:
            began = time.monotonic()
            item = next(items, None)
            self.network -= time.monotonic() - began
            if item is None:
                return
            yield item
