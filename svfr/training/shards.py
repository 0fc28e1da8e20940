"""Named tensors in a folder of safetensors files, one written by each rank, read back by any number of ranks.

torch.distributed.checkpoint in its safetensors form: no pickle is written or read. A tensor that all ranks hold is
written by one of them, a sharded one in parts; reading takes what each rank needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from svfr.training.ranks import distributed

PATTERN = "*.safetensors"


def write_tensors(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes `tensors` on all ranks together. Raises `OSError` on every rank if one of them cannot write."""
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    try:
        save(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            storage_writer=writer,
            no_dist=not distributed(),
        )
    except CheckpointException as error:
        raise OSError(_reason(error)) from error


def read_tensors(folder: Path, tensors: Mapping[str, Tensor], alone: bool = False) -> None:
    """Overwrites the values of `tensors`, on all ranks together or by this process `alone`.

    Raises `ValueError` if a name is missing or a shape differs.
    """
    reader = HuggingFaceStorageReader(str(folder))
    try:
        load(dict(tensors), storage_reader=reader, no_dist=alone or not distributed())
    except CheckpointException as error:
        raise ValueError(_reason(error)) from error


def _reason(error: CheckpointException) -> str:
    """The first rank's own error, on one line."""
    failure = next(iter(error.failures.values()))[0]
    return (str(failure).strip().splitlines() or [type(failure).__name__])[0]
