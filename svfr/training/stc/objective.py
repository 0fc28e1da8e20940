"""One optimiser step of each stage: which losses, with which weights, for which networks."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from svfr.params import STCPredictorParams, STCVqganParams
from svfr.training.stc.data import Batch
from svfr.training.stc.losses import adversarial_loss, codebook_use, critic_loss
from svfr.training.stc.model import Predicted, Reconstruction
from svfr.training.stc.perceptual import Perceptual

Figures = dict[str, Tensor]
Backward = Callable[[Tensor], None]
USE = ("used_s", "used_t", "perplexity_s", "perplexity_t")
VQGAN_FIGURES = ("loss", "l1", "perceptual", "code", "prior", "adversarial", "critic", *USE)
PREDICTOR_FIGURES = ("loss", "code", "ce_s", "ce_t", "right_s", "right_t", *USE)


class VqganObjective:
    """L_I = L1 + w_p L_per + L_f + w_m (KL_S + KL_T) + w_a L_adv (BFVR-STC Eq. 8)."""

    figures = VQGAN_FIGURES

    def __init__(self, params: STCVqganParams, codes: int, device: torch.device) -> None:
        self.params, self.codes = params, codes
        self.perceptual = Perceptual().to(device) if params.perceptual != "none" else None

    def __call__(self, model: nn.Module, critic: nn.Module | None, batch: Batch, step: int, back: Backward) -> Figures:
        """Adds the gradients of one step to `model` and `critic`; figures as scalars, in the order of `figures`."""
        params, out = self.params, model(batch.hq, batch.lq)
        nan = out.code.new_tensor(torch.nan)
        losses = self.losses(out, batch)
        total = losses["loss"]
        adversarial, against = nan, nan
        if critic is not None and step >= params.adversarial_from:
            judge = getattr(critic, "module", critic).requires_grad_(False)  # not through DDP: it learns nothing here
            adversarial = adversarial_loss(judge(out.video))
            total = total + params.lambda_adversarial * adversarial
        back(total)
        if critic is not None and step >= params.adversarial_from:
            trainable(critic)
            against = critic_loss(*critic(torch.cat([batch.hq, out.video.detach()])).chunk(2))
            back(against)
        return {**losses, "loss": total, "adversarial": adversarial, "critic": against, **use(out, self.codes)}

    def losses(self, out: Reconstruction, batch: Batch) -> Figures:
        """All terms but the adversarial one, and their weighted sum as "loss"."""
        params = self.params
        l1 = F.l1_loss(out.video, batch.hq)
        total = l1 + out.code + params.lambda_prior * out.prior
        perceptual = out.code.new_tensor(torch.nan)
        if self.perceptual is not None:
            perceptual = self.perceptual(out.video, batch.hq)
            total = total + params.lambda_perceptual * perceptual
        return {"loss": total, "l1": l1, "perceptual": perceptual, "code": out.code, "prior": out.prior}


class PredictorObjective:
    """L_II = w_c |z_q - z_l|^2 + w_ce (CE_S + CE_T) (BFVR-STC Eq. 10)."""

    figures = PREDICTOR_FIGURES

    def __init__(self, params: STCPredictorParams, codes: int) -> None:
        self.params, self.codes = params, codes

    def __call__(self, model: nn.Module, critic: nn.Module | None, batch: Batch, step: int, back: Backward) -> Figures:
        """As `VqganObjective`, without a critic."""
        out: Predicted = model(batch.hq, batch.lq)
        losses = self.losses(out, batch)
        back(losses["loss"])
        return {**losses, **use(out, self.codes)}

    def losses(self, out: Predicted, batch: Batch) -> Figures:
        """All terms, and their weighted sum as "loss"."""
        total = self.params.lambda_code * out.code + self.params.lambda_ce * (out.ce_s + out.ce_t)
        values = {"code": out.code, "ce_s": out.ce_s, "ce_t": out.ce_t, "right_s": out.right_s, "right_t": out.right_t}
        return {"loss": total, **values}


def use(out: Reconstruction | Predicted, codes: int) -> Figures:
    """Share of the codes that occur in the batch, and perplexity, of both codebooks."""
    (used_s, perplexity_s), (used_t, perplexity_t) = (codebook_use(index, codes) for index in (out.idx_s, out.idx_t))
    return dict(zip(USE, (used_s, used_t, perplexity_s, perplexity_t), strict=True))


def trainable(critic: nn.Module) -> None:
    """Lets a critic learn again; a backbone in it stays frozen."""
    for name, parameter in critic.named_parameters():
        parameter.requires_grad_("backbone." not in name)
