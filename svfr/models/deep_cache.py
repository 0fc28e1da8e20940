"""DeepCache (Ma et al. 2024): deep features change slowly from step to step, so some steps may reuse them.

A shallow call runs the outermost down and up block only; in place of everything between them it takes what the
second last up block returned at an earlier, full call. The result deviates; `svfr.diffusion.shortcuts` says how much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from svfr.errors import UserError


@dataclass(slots=True)
class DeepFeatures:
    """Of one window: deep features (F,C,h,w) of its conditional and its unconditional guidance branch, once known."""

    cond: Tensor | None = None
    uncond: Tensor | None = None


@contextmanager
def kept_deep(unet: nn.Module, keep: Callable[[Tensor], None]) -> Iterator[None]:
    """Hands the deep features (B*F,C,h,w) of every full call within the block to `keep`."""
    hook = _deepest(unet).register_forward_hook(lambda _module, _inputs, out: keep(out))
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def reused_deep(unet: nn.Module, deep: Tensor) -> Iterator[None]:
    """Within the block, calls of the U-Net are shallow and take `deep` (B*F,C,h,w) from an earlier one."""
    _deepest(unet)
    network: Any = unet
    down, up = network.down_blocks[1:], [network.mid_block, *network.up_blocks[:-1]]
    try:
        for block in down:
            block.forward = _as_many_residuals(len(block.resnets) + bool(block.downsamplers))
        for block in up:
            block.forward = lambda *_, **__: deep
        yield
    finally:
        for block in (*down, *up):
            block.__dict__.pop("forward", None)


def _as_many_residuals(count: int) -> Callable[..., tuple[Tensor, tuple[Tensor, ...]]]:
    """Stands in for a down block: the skipped up blocks take its residuals off the stack and do not read them."""
    return lambda hidden_states, *_, **__: (hidden_states, (hidden_states,) * count)


def _deepest(unet: Any) -> nn.Module:
    if len(unet.up_blocks) < 2:
        raise UserError("feature caching needs a U-Net of at least two levels: leave deep_every at 1")
    module: nn.Module = unet.up_blocks[-2]
    return module
