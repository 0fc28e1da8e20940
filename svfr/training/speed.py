"""How much arithmetic a step has, how much the device could do, and how much memory it took."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from functools import lru_cache

import torch
from torch.utils.flop_counter import FlopCounterMode


def step_flops(forward: Callable[[], torch.Tensor], backward: Callable[[torch.Tensor], None], again: bool) -> int:
    """Runs both on this rank and returns their floating-point operations, 2 for a multiply-add.

    `again`: the backward computes the forward anew (gradient checkpointing), which is left out: what counts as
    utilisation is the model's arithmetic, not the trainer's.
    """
    with FlopCounterMode(display=False) as counter:
        loss = forward()
        once = counter.get_total_flops()
        backward(loss)
        total = counter.get_total_flops()
    return total - once if again else total


@lru_cache(maxsize=4)
def matmul_flops(device: torch.device, half: bool) -> float:
    """Operations per second of a large matrix product on `device`, in bfloat16 if `half`: the best of four."""
    side, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (768, torch.float32)
    x = torch.ones(side, side, device=device, dtype=dtype if half or device.type == "cpu" else torch.float32)
    seconds = []
    for _ in range(4):
        _wait(device)
        began = time.perf_counter()
        x @ x
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / min(seconds)


def peak_memory_mb() -> float:
    """Peak memory of this process so far in MiB: allocated on the GPU if there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
