"""The frames of a clip, out of its shard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svfr.errors import ItemError, UserError
from svfr.tables import Row
from svfr.video.clip import decode_clip
from svfr.video.shards import read_member


def read_pixels(shards: Path, row: Row) -> NDArray[np.uint8]:
    """All frames (T,H,W,3) of a row of `clips`. Raises `UserError` naming the clip if its files are damaged."""
    try:
        return decode_clip(read_member(shards, row["shard"], row["offset"], row["size"]))
    except ItemError as error:
        raise UserError(f"clip {row['clip_id']}: {error}; run the faces stage again") from error
