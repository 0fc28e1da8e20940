"""Generalized video face restoration: blind restoration, colorization and inpainting of faces in video."""

import logging
from typing import Any

# bitsandbytes, which comes with pyiqa, complains on every CPU machine; nothing here uses it
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def __getattr__(name: str) -> Any:
    """`svfr.restore` after `import svfr` alone."""
    if name != "restore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return import_module("svfr.restore")
