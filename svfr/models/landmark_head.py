"""The landmark predictor of facial prior learning: mid-block feature -> average pool -> 5-layer MLP. Training only."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

POINTS = 68


class LandmarkHead(nn.Module):
    """Mid-block features (B,F,C,H,W) -> landmarks (B,F,136), x0 y0 x1 y1 ..., normalised crop coordinates.

    Depth and pooling: SVFR, section 3.3. Ours: width, SiLU, and that training starts from `mean_shape` (136,),
    the mean of the training faces, so the first steps do not teach the U-Net where a face is on average.
    """

    def __init__(self, channels: int, mean_shape: Tensor, hidden: int = 256) -> None:
        super().__init__()
        widths = [channels, hidden, hidden, hidden, hidden]
        hidden_layers = [
            module for before, after in pairwise(widths) for module in (nn.Linear(before, after), nn.SiLU())
        ]
        last = nn.Linear(hidden, 2 * POINTS)
        nn.init.normal_(last.weight, std=1e-3)
        last.bias.data.copy_(mean_shape)
        self.mlp = nn.Sequential(nn.LayerNorm(channels), *hidden_layers, last)

    def forward(self, mid_BFCHW: Tensor) -> Tensor:
        """Predicted landmarks (B,F,136)."""
        pooled_BFC = mid_BFCHW.mean((-2, -1))
        return self.mlp(pooled_BFC)  # type: ignore[no-any-return]
