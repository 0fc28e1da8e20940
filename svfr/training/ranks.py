"""What the processes of one run say to each other, besides gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")


def distributed() -> bool:
    """Whether this process is one of several ranks."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rank_and_world() -> tuple[int, int]:
    """This process's rank and the number of ranks; (0, 1) on its own."""
    return (dist.get_rank(), dist.get_world_size()) if distributed() else (0, 1)


def first_on_all(value: Any) -> Any:
    """Rank 0's value, on every rank."""
    box = [value]
    if distributed():
        dist.broadcast_object_list(box)
    return box[0]


def together(action: Callable[[], T]) -> list[T]:
    """What `action` returns on each rank, by rank. If it fails on one with `OSError`, all raise that error."""
    try:
        outcome: tuple[T | None, str] = (action(), "")
    except OSError as error:
        outcome = (None, str(error))
    outcomes: list[Any] = [outcome]
    if distributed():
        outcomes = [None] * dist.get_world_size()
        dist.all_gather_object(outcomes, outcome)
    for _, failure in outcomes:
        if failure:
            raise OSError(failure)
    return [value for value, _ in outcomes]
