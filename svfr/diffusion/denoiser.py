"""One evaluation of the guided U-Net on a batch of windows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from torch import Tensor

from svfr.diffusion import edm
from svfr.diffusion.guidance import combine
from svfr.models.attention import ConstantContext
from svfr.models.deep_cache import DeepFeatures, kept_deep, reused_deep
from svfr.models.rowwise import embedded_row_by_row

TOKENS = 49  # identity tokens of the released model; zeros in their place mean "no identity"


@dataclass(frozen=True)
class Conditioning:
    """What a whole clip is conditioned on, on the U-Net's device and in its dtype.

    `task` (3,) of 0/1; `reference` (4,h,w) unscaled latents or None; `tokens` (L,D) or None.
    """

    task: Tensor
    reference: Tensor | None = None
    tokens: Tensor | None = None

    @property
    def guidable(self) -> bool:
        """Whether the two guidance branches differ at all."""
        return self.reference is not None or self.tokens is not None


class Denoiser:
    """Predicts v of noisy windows under guidance.

    With `optimise`, work whose result is known is left out: the unconditional branch where it equals the conditional
    one or has no effect (scale 1), and the cross-attention's projections of constant tokens. The numbers are the same.
    """

    def __init__(self, unet: UNetSpatioTemporalConditionModel, condition: Conditioning, *, optimise: bool) -> None:
        self.unet = unet
        self.condition = condition
        self.optimise = optimise
        self._context = ConstantContext(unet, condition.tokens) if optimise else None

    @torch.no_grad()
    def __call__(
        self,
        x_BFCHW: Tensor,
        lq_BFCHW: Tensor,
        sigma_B: Tensor,
        guidance_B: Tensor,
        memory: Sequence[DeepFeatures] = (),
        reuse: bool = False,
    ) -> Tensor:
        """v (B,F,4,h,w) float32 of noisy latents x and low-quality latents (unscaled), both (B,F,4,h,w).

        Windows of one batch may be at different noise levels. With `memory` (one item a window), a call leaves its
        deep features there; with `reuse` too, it takes them from there, unless a branch has none yet.
        """
        guided = torch.ones_like(guidance_B, dtype=torch.bool)
        if self.optimise:
            guided = (guidance_B != 1) if self.condition.guidable else torch.zeros_like(guided)
        numbers = guided.nonzero()[:, 0]
        chosen, count = numbers.to(x_BFCHW.device), len(numbers)

        # in float32: sigma^2 does not fit into half precision
        scaled = (x_BFCHW.float() * edm.c_in(edm.spread(sigma_B, x_BFCHW))).to(self.unet.dtype)
        base = torch.cat([scaled, lq_BFCHW.to(scaled)], dim=2)
        inputs = torch.cat([_with_reference(base[chosen], None), _with_reference(base, self.condition.reference)])
        times = torch.as_tensor(edm.c_noise(torch.cat([sigma_B[guided], sigma_B]))).to(x_BFCHW.device)

        kept: list[Tensor] = []
        unconditional = [(memory[i], "uncond") for i in numbers.tolist()] if memory else []
        branches = [*unconditional, *((features, "cond") for features in memory)]
        stored = [getattr(features, branch) for features, branch in branches]
        caching: AbstractContextManager[None] = nullcontext()
        if reuse and not any(deep is None for deep in stored):
            caching = reused_deep(self.unet, torch.cat(stored))
        elif memory:
            caching = kept_deep(self.unet, kept.append)
        with embedded_row_by_row(self.unet), caching:
            v = self._forward(inputs, times, zero=count).float()
        for deep in kept:
            for (features, branch), part in zip(branches, deep.chunk(len(branches)), strict=True):
                setattr(features, branch, part)
        v_cond = v[count:]
        if count:
            guided_v = combine(v[:count], v_cond[chosen], guidance_B[guided])
            v_cond = v_cond.index_copy(0, chosen, guided_v)
        return v_cond

    def _forward(self, inputs: Tensor, times: Tensor, zero: int) -> Tensor:
        """The U-Net; the first `zero` items of the batch are unconditional."""
        batch = len(inputs)
        task = self.condition.task.to(inputs).expand(batch, -1)
        if self._context is not None:
            with self._context.installed(zero, batch):
                return self.unet(inputs, times, ConstantContext.placeholder(batch, inputs), task).sample
        tokens = self.condition.tokens
        if tokens is None:
            tokens = inputs.new_zeros(TOKENS, self.unet.config["cross_attention_dim"])
        context = tokens.to(inputs).repeat(batch, 1, 1)
        context[:zero] = 0
        return self.unet(inputs, times, context, task).sample


def _with_reference(base_BFCHW: Tensor, reference_CHW: Tensor | None) -> Tensor:
    """Appends the reference latents, zeros if there are none, to the channels of every frame."""
    batch, frames, _, height, width = base_BFCHW.shape
    if reference_CHW is None:
        reference_CHW = base_BFCHW.new_zeros(4, height, width)
    return torch.cat([base_BFCHW, reference_CHW.to(base_BFCHW).expand(batch, frames, -1, -1, -1)], dim=2)
