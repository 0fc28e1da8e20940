"""The tensors of the released stage-II checkpoints that no forward pass reads: built only where asked for."""

from __future__ import annotations

from torch import nn

from svfr.models.stc.norms import group_norm

UNUSED = ("fuse_convs_dict.", "s_feat_emb.", "t_feat_emb.")


class _Merge(nn.Module):
    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm1 = group_norm(2 * width, groups)
        self.conv1 = nn.Conv3d(2 * width, width, 3, padding=1)
        self.norm2 = group_norm(width, groups)
        self.conv2 = nn.Conv3d(width, width, 3, padding=1)
        self.conv_out = nn.Conv3d(2 * width, width, 1)


class _Fuse(nn.Module):
    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.encode_enc = _Merge(width, groups)
        self.scale, self.shift = _pair(width), _pair(width)


def add_unused(module: nn.Module, channels: int, embedding: int, groups: int) -> None:
    """Gives a stage-II network the released encoder-decoder fusion and query embeddings, which it never calls."""
    widths = {"32": 8 * channels, "64": 8 * channels, "128": 4 * channels, "256": 4 * channels}
    module.add_module("s_feat_emb", nn.Linear(embedding, embedding))
    module.add_module("t_feat_emb", nn.Linear(embedding, embedding))
    module.add_module("fuse_convs_dict", nn.ModuleDict({name: _Fuse(width, groups) for name, width in widths.items()}))


def _pair(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 3), nn.LeakyReLU(), nn.Conv2d(width, width, 3))
