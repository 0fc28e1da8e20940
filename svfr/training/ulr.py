"""Unified latent regularisation (SVFR L_ULR): features of one clip agree whatever its degradation or task."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from svfr.training.ranks import distributed, rank_and_world


def info_nce(
    query_ND: Tensor, key_MD: Tensor, query_clip_N: Tensor, key_clip_M: Tensor, own_N: Tensor, tau: float
) -> Tensor:
    """InfoNCE (van den Oord et al. 2018, eq. 4), mean over queries; a float32 scalar.

    Rows are unit vectors; `*_clip` name the clip that a row shows; `own_N` is each query's own row among the keys.
    Positives are the other views of the query's clip, negatives the views of other clips. The paper states the ratio
    of positive to negatives only; the positive in the denominator (the standard form) bounds the loss by 0 (ours).
    """
    # L = - log( exp(q.k+ / tau) / (exp(q.k+ / tau) + sum_j exp(q.k-_j / tau)) )
    logits_NM = query_ND.float() @ key_MD.float().T / tau
    same_NM = query_clip_N[:, None] == key_clip_M[None]
    positive_NM = same_NM.scatter(1, own_N[:, None], False)
    negatives_N = logits_NM.masked_fill(same_NM, -torch.inf).logsumexp(1)
    losses_NM = torch.logaddexp(logits_NM, negatives_N[:, None]) - logits_NM
    return losses_NM[positive_NM].sum() / positive_NM.sum()


def ulr_loss(feature_BD: Tensor, clip_B: Tensor, tau: float) -> Tensor:
    """InfoNCE of this rank's views against the views of all ranks; gradients flow through the gathered ones too.

    `feature_BD` vectors of any length, `clip_B` integer clip numbers. Averaged over ranks (as DDP averages gradients)
    it is the loss of the whole batch in one process.
    """
    all_MD, clips_M = gather_with_gradient(feature_BD), gather_with_gradient(clip_B)
    first = rank_and_world()[0] * len(feature_BD)
    own = torch.arange(first, first + len(feature_BD), device=feature_BD.device)
    unit_MD = centred(all_MD)
    return info_nce(unit_MD[own], unit_MD, clip_B, clips_M, own, tau)


def centred(feature_MD: Tensor) -> Tensor:
    """Unit vectors of the features less their mean over the batch (ours).

    What all faces have in common is nearly all of a feature at the start: cosines are 0.9999, whatever the clips, and
    without this the loss stays at ln(1 + negatives), its value for features that are all alike.
    """
    # x^_i = (x_i - mean_j x_j) / || x_i - mean_j x_j ||
    return torch.nn.functional.normalize(feature_MD.float() - feature_MD.float().mean(0), dim=1)


def similarity(feature_BD: Tensor, clip_B: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cosine of `centred` views of one clip, and of views of different clips; the second is NaN for one clip.

    Over the views of all ranks, like the loss.
    """
    unit_MD, clip_M = centred(gather_with_gradient(feature_BD.detach())), gather_with_gradient(clip_B)
    cosine_MM = unit_MD @ unit_MD.T
    same_MM = clip_M[:, None] == clip_M[None]
    own_MM = torch.eye(len(clip_M), dtype=torch.bool, device=clip_M.device)
    return cosine_MM[same_MM & ~own_MM].mean(), cosine_MM[~same_MM].mean()


def gather_with_gradient(x: Tensor) -> Tensor:
    """Concatenates `x` of all ranks along dim 0; its backward sums the gradients that every rank has for each part."""
    return _Gather.apply(x) if distributed() else x  # type: ignore[no-any-return]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous()
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]
