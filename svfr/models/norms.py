"""Wider normalisation groups for small networks.

diffusers fixes GroupNorm at 32 groups. With 32 channels that is one channel a group: every map loses its mean and
scale, and with them a picture's brightness and contrast. Small networks therefore state `norm_groups` in their config
(ours; the released networks have no such entry). Weights keep their names and shapes.
"""

from __future__ import annotations

from torch import nn

from svfr.errors import UserError


def set_norm_groups(module: nn.Module, groups: int) -> None:
    """Gives every GroupNorm in `module` this many groups. Raises `UserError` if a width is not divisible by it."""
    for norm in module.modules():
        if isinstance(norm, nn.GroupNorm):
            if groups < 1 or norm.num_channels % groups:
                raise UserError(f"norm_groups {groups} does not divide a width of {norm.num_channels} channels")
            norm.num_groups = groups
