"""How one model trains on many devices: a copy on each (DDP), or a shard on each (FSDP2), or on one alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from svfr.params import TrainParams
from svfr.training.model import TrainingModel
from svfr.training.ranks import distributed


def spread_out(model: TrainingModel, accelerator: Accelerator, params: TrainParams) -> nn.Module:
    """The module to call in training. With `fsdp` the parameters of `model` become shards, in place."""
    if params.strategy == "fsdp" and distributed():
        _shard(model, accelerator.device, params.precision == "bf16")
        return model
    return accelerator.prepare_model(model)  # type: ignore[no-any-return]


def _shard(model: TrainingModel, device: torch.device, half: bool) -> None:
    """FSDP2: blocks are gathered one at a time, in bfloat16 if `half`; gradients are summed in float32."""
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if half else None, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for block in [*model.unet.down_blocks, model.unet.mid_block, *model.unet.up_blocks]:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    # the outermost group too is given back after a forward without a backward, as in validation
    fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=True)


@contextmanager
def last_backward(model: nn.Module, last: bool) -> Iterator[None]:
    """Gradients are summed over ranks only in the `last` backward of a step; before, each rank adds up its own."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
    if isinstance(model, DistributedDataParallel) and not last:
        with model.no_sync():
            yield
    else:
        yield


def clip_gradient(model: nn.Module, limit: float) -> float:
    """Scales the gradient down to the norm `limit`, and returns the norm before; over all ranks' shards."""
    norm = nn.utils.clip_grad_norm_(model.parameters(), limit)
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)


@torch.no_grad()
def whole(tensor: Tensor) -> Tensor:
    """The full values of a parameter that may be a shard; every rank has to ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.detach()
