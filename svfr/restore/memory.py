"""Memory: what is free goes back to the system; what work needs at most; where it runs out, work is halved."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

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


class PeakMemory:
    """Context manager: `mib`, what the block held at most above what was held before it.

    On a GPU what torch allocated there, else the process's resident memory as Linux counts it; None where neither says.
    """

    mib: float | None = None

    def __enter__(self) -> Self:
        trim()
        self._before = _reset_peak()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            held = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else _resident("VmHWM")
            self.mib = max(0.0, held - self._before)


def _reset_peak() -> float | None:
    """MiB that are held now, from where the peak is counted; None if it cannot be."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**20
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): resets VmHWM
        return _resident("VmRSS")
    except OSError:
        return None


def _resident(name: str) -> float:
    """A line of /proc/self/status in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


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
