"""Memory: what is free goes back to the system; where it runs out the work is halved and tried again."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")
_CPU_ALLOCATOR = "can't allocate memory"  # torch's CPU allocator raises a plain RuntimeError with these words


_LIBC = ctypes.CDLL(None)


def trim() -> None:
    """Gives freed memory back to the system, where the C library can.

    Without it glibc keeps whole frames' worth of it under small pieces that last: measured, 0.13 MiB a frame of video.
    """
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)


class Splits:
    """How often work is halved now. It never goes back up: what did not fit once will not fit again."""

    def __init__(self, most: int) -> None:
        self.count, self._most = 0, most

    def __call__(self, work: Callable[[int], T]) -> T:
        """`work(count)`, with one more split after each failure for want of memory.

        Raises `MemoryError` when there is nothing left to split.
        """
        while True:
            try:
                return work(self.count)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not _for_memory(error):
                    raise
                if self.count == self._most:
                    raise MemoryError(
                        f"not enough memory, even after halving the work {self.count} times: "
                        "choose --device cpu, a device with more memory, or a smaller model"
                    ) from None
            self.count += 1
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _for_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or _CPU_ALLOCATOR in str(error)
