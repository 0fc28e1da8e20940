"""iResNet, the ArcFace backbone of insightface, under the published key names.

Deng et al., "ArcFace", and Duta et al., "Improved Residual Networks". Only the inference path is here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from svfr.errors import UserError
from svfr.models.loading import State, load_strict

WIDTHS = (64, 128, 256, 512)
INPUT_SIZE = 112


class IBasicBlock(nn.Module):
    """bn1 - conv3x3 - bn2 - prelu - conv3x3(stride) - bn3, plus the (projected) input."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn2(self.conv1(self.bn1(x)))
        h = self.bn3(self.conv2(self.prelu(h)))
        return h + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """iResNet of any depth; input (B,3,112,112) RGB in [-1,1].

    `blocks` is the number of blocks per stage: (3,13,30,3) for iResNet-100, (2,2,2,2) for iResNet-18.
    """

    def __init__(self, blocks: Sequence[int] = (3, 13, 30, 3), embedding: int = 512) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.prelu = nn.PReLU(WIDTHS[0])
        inputs = WIDTHS[0]
        for stage, (width, count) in enumerate(zip(WIDTHS, blocks, strict=True), start=1):
            layers = [IBasicBlock(inputs if i == 0 else width, width, 2 if i == 0 else 1) for i in range(count)]
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
            inputs = width
        side = INPUT_SIZE // 16
        self.bn2 = nn.BatchNorm2d(WIDTHS[-1])
        self.fc = nn.Linear(WIDTHS[-1] * side * side, embedding)
        self.features = nn.BatchNorm1d(embedding)

    @classmethod
    def from_official(cls, state: State) -> IResNet:
        """The network of a published state dict, in float32 and eval mode; its depth is read off the keys.

        Raises `UserError` for a missing or unknown key, another shape, NaN or infinity.
        """
        with torch.device("meta"):
            network = cls(_blocks_per_stage(state), embedding=_rows(state, "fc.weight"))
        floats = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
        load_strict(network, floats, "ArcFace iResNet")
        return network.eval()

    def feature_map(self, x: Tensor) -> Tensor:
        """Stage-4 map (B,512,7,7), before the last batch norm: what SVFR's identity tokens are made of."""
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, INPUT_SIZE, INPUT_SIZE):
            raise UserError(f"identity crop has shape {tuple(x.shape)}, (B, 3, {INPUT_SIZE}, {INPUT_SIZE}) expected")
        h = self.prelu(self.bn1(self.conv1(x)))
        for stage in ("layer1", "layer2", "layer3", "layer4"):
            h = self.get_submodule(stage)(h)
        return h

    def forward(self, x: Tensor) -> Tensor:
        """Identity embedding (B,512), not normalised."""
        return self.features(self.fc(self.bn2(self.feature_map(x)).flatten(1)))


def _blocks_per_stage(state: Mapping[str, Tensor]) -> list[int]:
    found = [re.match(r"layer(\d)\.(\d+)\.", key) for key in state]
    pairs = {(int(m[1]), int(m[2])) for m in found if m}
    counts = [sum(1 for stage, _ in pairs if stage == s) for s in (1, 2, 3, 4)]
    if 0 in counts:
        raise UserError("ArcFace iResNet: no blocks layer1 to layer4 in the state dict, so this is another network")
    return counts


def _rows(state: State, key: str) -> int:
    if key not in state:
        raise UserError(f"ArcFace iResNet: '{key}' is missing, so this is another network")
    return int(state[key].shape[0])
