"""Identity embeddings as the feature map that the identity projection takes."""

from __future__ import annotations

import torch
from torch import Tensor

SIDE = 7  # 49 tokens, as released


def embedding_map(embedding_D: Tensor) -> Tensor:
    """A face embedding (D,) of any length as a map (D,7,7), the unit vector at every position.

    For identity backends that give one vector instead of ArcFace's stage-4 map: all 49 tokens are then equal (ours).
    """
    unit = torch.nn.functional.normalize(embedding_D.float(), dim=0)
    return unit[:, None, None].expand(-1, SIDE, SIDE).contiguous()
