"""Restores faces in videos: `svfr.restore(source, destination)` in one call, or these names.

`restore_video` for a file, `load_restorer` for a model to use again and again.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from svfr.restore.api import RestoredFrames
    from svfr.restore.engine import restore_video
    from svfr.restore.model import Restorer, load_restorer
    from svfr.restore.report import FileReport

__all__ = ["FileReport", "RestoredFrames", "Restorer", "load_restorer", "restore_video"]

_HOME = {
    "restore_video": "svfr.restore.engine",
    "load_restorer": "svfr.restore.model",
    "Restorer": "svfr.restore.model",
    "FileReport": "svfr.restore.report",
    "RestoredFrames": "svfr.restore.api",
}


def __getattr__(name: str) -> Any:
    """Loads the heavy modules when they are first asked for, so that the ledger can be read without them."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


class _Callable(ModuleType):
    """The package itself can be called: `svfr.restore(...)` is `svfr.restore.api.restore(...)`."""

    def __call__(self, source: Any, destination: Any = None, **options: Any) -> Any:
        from svfr.restore.api import restore

        return restore(source, destination, **options)


sys.modules[__name__].__class__ = _Callable
