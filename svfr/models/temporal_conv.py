"""Temporal convolutions as two-dimensional ones: the same numbers, several times faster on a CPU.

For a (3,1,1) kernel PyTorch takes its slow three-dimensional path on a single CPU thread. With height and width
flattened it is a (3,1) convolution over a (frames, pixels) plane, for which oneDNN has a fast kernel, forward and
backward (measured: 36 -> 8 ms for 2 x 32 x 4 x 64 x 64).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class PlanarConv3d(nn.Conv3d):
    """A Conv3d whose kernel has the extent (k,1,1), stride and dilation 1, on input (B,C,T,H,W)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (the name in nn.Conv3d)
        """(B,C,T,H,W) -> (B,C',T,H,W)."""
        height, width = input.shape[-2:]
        padding = (int(self.padding[0]), 0)
        return F.conv2d(input.flatten(3), self.weight.squeeze(-1), self.bias, padding=padding).unflatten(
            3, (height, width)
        )


def use_planar_convolutions(module: nn.Module) -> int:
    """Turns every purely temporal Conv3d in `module` into a `PlanarConv3d`, weights in place; returns how many."""
    found = [m for m in module.modules() if type(m) is nn.Conv3d and _is_temporal(m)]
    for convolution in found:
        convolution.__class__ = PlanarConv3d
    return len(found)


def _is_temporal(m: nn.Conv3d) -> bool:
    unit = (1, 1, 1)
    flat = m.kernel_size[1:] == (1, 1) and m.stride == unit and m.dilation == unit and m.groups == 1
    return flat and m.padding_mode == "zeros" and not isinstance(m.padding, str) and m.padding[1:] == (0, 0)
