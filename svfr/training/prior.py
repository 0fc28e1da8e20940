"""Facial prior learning (SVFR L_prior): mid-block features must tell where the 68 landmarks of the clean face are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SCALE = 256.0  # the wing loss is measured in pixels of a 256 x 256 face


def wing(x: Tensor, w: float, epsilon: float) -> Tensor:
    """Wing loss of residuals, elementwise (Feng et al. 2018, eq. 5); x, w and epsilon in the same unit."""
    # wing(x) = w ln(1 + |x|/epsilon) if |x| < w, else |x| - C;  C = w - w ln(1 + w/epsilon)
    offset = w - w * math.log1p(w / epsilon)
    size = x.abs()
    return torch.where(size < w, w * torch.log1p(size / epsilon), size - offset)


def prior_loss(points_BFP: Tensor, target_BFP: Tensor, w: float, epsilon: float) -> Tensor:
    """Mean wing loss over all coordinates that have a target; a float32 scalar, 0 if none has.

    Points are normalised crop coordinates in [0,1], P = 136; NaN marks frames in which no landmarks were found.
    """
    known = target_BFP.isfinite()
    residual = (points_BFP.float() - target_BFP.nan_to_num()) * SCALE
    return (wing(residual, w, epsilon) * known).sum() / known.sum().clamp(min=1)


def landmark_error(points_BFP: Tensor, target_BFP: Tensor) -> Tensor:
    """Mean distance between predicted and true points in pixels of a 256 x 256 face; NaN if no frame has landmarks."""
    pairs = (points_BFP.detach().float() - target_BFP).unflatten(-1, (-1, 2)) * SCALE
    return pairs.norm(dim=-1).nanmean()
