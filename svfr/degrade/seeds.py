"""Independent random streams by name: adding a parameter never changes the draws of another."""

from __future__ import annotations

from numbers import Integral
from zlib import crc32

import numpy as np

from svfr.errors import UserError


def stream(seed: int, name: str, *index: int) -> np.random.Generator:
    """The PCG64 generator of `name` under `seed`; `index` picks one frame or one shape of it.

    Raises `UserError` for anything but a whole number 0 <= seed < 2**63 (it must fit the table's int64 column).
    """
    if not (isinstance(seed, Integral) and 0 <= seed < 2**63):
        raise UserError(f"seed {seed!r} does not fit a table column: give a whole number from 0 to 2**63 - 1")
    key = (crc32(name.encode()), *index)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
