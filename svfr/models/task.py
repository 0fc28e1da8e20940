"""The task vector: three bits that tell the U-Net what to restore."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from svfr.errors import UserError

TASKS = ("bfr", "color", "inpaint")


def task_vector(tasks: Iterable[str]) -> Tensor:
    """The bits [bfr, color, inpaint] as float32 (3,), each exactly 0 or 1.

    Any non-empty subset is allowed. Raises `UserError` for an unknown name, a bare string or an empty set.
    """
    if isinstance(tasks, str):
        raise UserError(f"task must be a set of names such as {{'{TASKS[0]}'}}, not the string '{tasks}'")
    if not isinstance(tasks, Iterable):
        raise UserError(f"task is {tasks!r}; a set of names among {', '.join(TASKS)} is needed")
    chosen = {str(task) for task in tasks}
    unknown = sorted(chosen - set(TASKS))
    if unknown:
        raise UserError(f"unknown task {', '.join(unknown)}: choose among {', '.join(TASKS)}")
    if not chosen:
        raise UserError(f"no task given: choose among {', '.join(TASKS)}")
    return torch.tensor([float(task in chosen) for task in TASKS])
