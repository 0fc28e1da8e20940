"""The family's normalisation: groups over channels, statistics over (C/groups, T, H, W)."""

from __future__ import annotations

from math import gcd

from torch import nn


def group_norm(channels: int, groups: int) -> nn.GroupNorm:
    """GroupNorm with eps 1e-6; networks narrower than the released ones take the most groups that divide them."""
    return nn.GroupNorm(gcd(channels, groups), channels, eps=1e-6)
