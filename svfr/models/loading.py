"""Strict loading of state dicts: every key, every shape, no NaN, no code."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from svfr.errors import UserError

State = Mapping[str, Tensor]


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads a flat state dict from `.safetensors` or a `torch.save` file, on the CPU.

    Raises `UserError` for a missing or damaged file, for sparse tensors, and for a pickle that holds anything but
    tensors: such a file could run code and is never opened further (`weights_only=True`).
    """
    state = read_checkpoint(path)
    if not all(_is_entry(key, value) for key, value in state.items()):
        raise UserError(f"{path} is no flat state dict of tensors: a checkpoint of weights only is needed")
    return dict(state)


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """As `read_state`, for a file whose tensors may lie deeper, below `params_ema` for example."""
    if not path.is_file():
        raise UserError(f"weights file {path} does not exist")
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds more than tensors, so it may run code, or it is damaged: refused; fetch the published file"
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(f"{path} cannot be read as weights ({_first_line(error)}): fetch it again") from error
    if not isinstance(state, Mapping):
        raise UserError(f"{path} is no flat state dict of tensors: a checkpoint of weights only is needed")
    return state


def check_state(state: State, expected: Mapping[str, tuple[int, ...]], what: str) -> None:
    """Raises `UserError` unless `state` has exactly the `expected` keys and shapes and only finite values.

    Missing `num_batches_tracked` counters are no error: nothing reads them at inference.
    """
    counters = {key for key in expected if key.endswith("num_batches_tracked")}
    missing = [key for key in expected if key not in state and key not in counters]
    surplus = [key for key in state if key not in expected]
    if missing or surplus:
        raise UserError(
            f"{what}: {len(missing)} keys missing{_some(missing)}, {len(surplus)} unknown{_some(surplus)}; "
            f"{len(expected)} expected, so these are not the weights of this network"
        )
    for key, value in state.items():
        if tuple(value.shape) != expected[key]:
            raise UserError(f"{what}: '{key}' has shape {tuple(value.shape)}, {expected[key]} expected")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise UserError(f"{what}: '{key}' holds NaN or infinity, so the file is damaged")


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Key -> shape of every entry of the module's state dict, in its order."""
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def load_strict(module: nn.Module, state: State, what: str) -> None:
    """Loads `state` into `module` after `check_state`; also fills a module built on the meta device.

    The module takes over the tensors (and their dtype) instead of copying them.
    """
    check_state(state, shapes_of(module), what)
    for key, own in module.state_dict().items():
        if key in state and own.is_floating_point() and not state[key].is_floating_point():
            raise UserError(f"{what}: '{key}' holds {state[key].dtype}, floating point numbers expected")
    module.load_state_dict(dict(state), strict=False, assign=True)
    for name, buffer in module.named_buffers():
        if buffer.is_meta:
            owner, _, leaf = name.rpartition(".")
            module.get_submodule(owner)._buffers[leaf] = torch.zeros_like(buffer, device="cpu")


def _is_entry(key: object, value: object) -> bool:
    return isinstance(key, str) and isinstance(value, Tensor) and value.layout == torch.strided


def _some(keys: Iterable[object]) -> str:
    first = [str(key) for key in keys][:3]
    return f" (such as {', '.join(first)})" if first else ""


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
