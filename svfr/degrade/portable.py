"""Keeps Intel's IPP out of the operation in which it rounds otherwise than OpenCV's own code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def without_ipp() -> Iterator[None]:
    """OpenCV without IPP on this thread: cubic resizing would else differ by one level between CPUs."""
    used = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)
    try:
        yield
    finally:
        cv2.ipp.setUseIPP(used)
