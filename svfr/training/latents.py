"""Cached latents: one safetensors file for each clip inside a tar shard, of which only the frames needed are read.

Entries: `latents` (N,4,h,w) float32, the unscaled mean latents of the clean clip; `identity` (K,C,7,7) float32, the
map that the identity projection takes, of K frames; optionally `lq.<pair_id>` (N,4,h,w) float16, unscaled mean
latents of the clip as that pair degrades it.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from svfr.errors import ItemError, UserError
from svfr.tables import Row
from svfr.video.shards import read_member

HQ, IDENTITY = "latents", "identity"
_DTYPES = {"F32": torch.float32, "F16": torch.float16}


def lq_name(pair_id: str) -> str:
    """The entry that holds the degraded latents of a pair."""
    return f"lq.{pair_id}"


def pack_latents(tensors: dict[str, Tensor]) -> bytes:
    """The safetensors bytes of one clip's entries. Raises `ItemError` `not_finite` if one holds NaN or infinity."""
    for name, value in tensors.items():
        if not bool(value.isfinite().all()):
            raise ItemError("not_finite", f"entry '{name}' holds NaN or infinity: the VAE does not fit these frames")
    return save({name: value.contiguous() for name, value in tensors.items()})


@dataclass(frozen=True)
class ClipLatents:
    """The entries of one clip, opened but not read."""

    root: Path
    row: Row
    header: dict[str, Any]
    start: int  # first byte of tensor data in the shard

    @classmethod
    def open(cls, root: Path, row: Row) -> ClipLatents:
        """Reads the header that `row` of the `latents` table points to. `UserError` if it is not what it should be."""
        try:
            size = struct.unpack("<Q", read_member(root, row["shard"], row["offset"], 8))[0]
            if not 0 < size <= row["size"] - 8:
                raise ValueError(f"header of {size} bytes")
            header = json.loads(read_member(root, row["shard"], row["offset"] + 8, size))
            if not isinstance(header, dict) or HQ not in header or IDENTITY not in header:
                raise ValueError("entries are missing")
        except (ItemError, ValueError) as error:
            raise _damaged(root, row, error) from error
        return cls(root, row, header, row["offset"] + 8 + size)

    def __contains__(self, name: str) -> bool:
        return name in self.header

    def read(self, name: str, start: int = 0, count: int | None = None) -> Tensor:
        """Rows start..start+count (all by default) of entry `name` as float32. `UserError` if damaged or absent."""
        if name not in self.header:
            raise UserError(f"clip {self.row['clip_id']}: no entry '{name}' in its latents: run the encode stage again")
        entry = self.header[name]
        dtype, (length, *shape) = _DTYPES[entry["dtype"]], entry["shape"]
        count = length - start if count is None else count
        row_bytes = (entry["data_offsets"][1] - entry["data_offsets"][0]) // length
        offset = self.start + entry["data_offsets"][0] + start * row_bytes
        try:
            data = read_member(self.root, self.row["shard"], offset, count * row_bytes)
        except ItemError as error:
            raise _damaged(self.root, self.row, error) from error
        value = torch.frombuffer(bytearray(data), dtype=dtype).view(count, *shape).float()
        if not bool(value.isfinite().all()):
            raise _damaged(self.root, self.row, "it holds NaN or infinity")
        return value


def _damaged(root: Path, row: Row, reason: object) -> UserError:
    return UserError(
        f"latents of clip {row['clip_id']} in {root / row['shard']} are damaged ({reason}): "
        "delete that file and run the encode stage again"
    )
