"""Temporal convolutions on the fast path give the numbers of the stock ones, and their gradients."""

from __future__ import annotations

import torch
from torch import nn

from svfr.models.temporal_conv import PlanarConv3d, use_planar_convolutions


def test_planar_convolutions_equal_the_stock_ones() -> None:
    torch.manual_seed(0)
    stock = nn.Conv3d(5, 7, (3, 1, 1), padding=(1, 0, 0)).double()
    planar = nn.Conv3d(5, 7, (3, 1, 1), padding=(1, 0, 0)).double()
    planar.load_state_dict(stock.state_dict())
    assert use_planar_convolutions(nn.Sequential(planar)) == 1
    x = torch.randn(2, 5, 4, 3, 6, dtype=torch.float64)
    outputs = []
    for convolution in (stock, planar):
        y = convolution(x)
        y.square().sum().backward()
        outputs.append([y, convolution.weight.grad, convolution.bias.grad])
    for a, b in zip(*outputs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_other_convolutions_stay_as_they_are() -> None:
    others = nn.ModuleList(
        [
            nn.Conv3d(2, 2, 3, padding=1),
            nn.Conv3d(2, 2, (3, 1, 1), stride=(2, 1, 1)),
            nn.Conv3d(2, 2, (3, 1, 1), padding=(1, 1, 1)),
            nn.Conv2d(2, 2, 3),
        ]
    )
    assert use_planar_convolutions(others) == 0
    assert not any(isinstance(m, PlanarConv3d) for m in others)
